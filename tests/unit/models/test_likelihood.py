import math

import pytest
import torch
from torch import Tensor, nn

from models.checkpoint import Checkpoint
from models.likelihood import Likelihood, answer_logprobs, completion_logprobs
from services.trainer.pretraining.sampling import GrowingCache


def score(checkpoint: Checkpoint, sequences: list[tuple[list[int], list[int]]], **options):
    rows = [prompt + answer for prompt, answer in sequences]
    longest = max(map(len, rows))
    return completion_logprobs(
        checkpoint.model,
        checkpoint.grammar,
        torch.tensor([row + [0] * (longest - len(row)) for row in rows]),
        torch.tensor([len(prompt) for prompt, _ in sequences]),
        torch.tensor([len(row) for row in rows]),
        **options,
    )


class _FixedLogits(nn.Module):
    """Heads whose logits are the hidden state itself."""

    def text_logits(self, hidden: Tensor) -> Tensor:
        return hidden

    def image_logits(self, hidden: Tensor) -> Tensor:
        return hidden[..., :16]


def test_a_text_token_has_its_share_among_the_ids_that_may_be_sampled(checkpoint) -> None:
    grammar = checkpoint.grammar
    logits_V = torch.full((grammar.vocab_size,), -torch.inf)
    logits_V[grammar.special.pad] = 50.0  # masked by the grammar
    logits_V[20], logits_V[21] = math.log(1.0), math.log(4.0)
    logprobs_BT, entropy_BT = answer_logprobs(
        _FixedLogits(), grammar, logits_V[None, None], torch.tensor([[21]]),
        torch.tensor([[True]]), temperature=2.0, allow_image=False,
    )  # fmt: skip
    share = 2 / 3  # temperature 2 turns odds of 4 to 1 into 2 to 1
    assert logprobs_BT.item() == pytest.approx(math.log(share))
    expected = -share * math.log(share) - (1 - share) * math.log(1 - share)
    assert entropy_BT.item() == pytest.approx(expected)


def test_begin_of_image_takes_mass_only_where_images_are_allowed(checkpoint) -> None:
    grammar = checkpoint.grammar
    logits_V = torch.full((grammar.vocab_size,), -torch.inf)
    logits_V[20] = logits_V[grammar.special.begin_of_image] = 0.0
    shares = [
        answer_logprobs(
            _FixedLogits(), grammar, logits_V[None, None], torch.tensor([[20]]),
            torch.tensor([[True]]), temperature=1.0, allow_image=allow_image,
        )[0].exp().item()
        for allow_image in (False, True)
    ]  # fmt: skip
    assert shares == pytest.approx([1.0, 0.5])


def test_a_code_has_its_share_among_codes_and_a_forced_token_costs_nothing(checkpoint) -> None:
    grammar = checkpoint.grammar
    hidden = torch.zeros(1, 2, grammar.vocab_size)
    targets_BT = torch.tensor([[grammar.vocab_size + 3, grammar.special.end_of_image]])
    logprobs_BT, entropy_BT = answer_logprobs(
        _FixedLogits(), grammar, hidden, targets_BT, torch.ones(1, 2, dtype=torch.bool),
        temperature=1.0, allow_image=False,
    )  # fmt: skip
    assert logprobs_BT[0].tolist() == pytest.approx([-math.log(16), 0])
    assert entropy_BT[0].tolist() == pytest.approx([math.log(16), 0])


@torch.no_grad()
def test_logprobs_are_those_of_a_step_by_step_sampler(checkpoint: Checkpoint) -> None:
    model, grammar = checkpoint.model, checkpoint.grammar
    codes = [grammar.vocab_size + code for code in (1, 5, 2, 9)]
    prompt, answer = [20, 21, grammar.special.begin_of_image], codes
    dense = score(checkpoint, [(prompt, answer)], temperature=0.7).logprobs_BT[0]
    cache, ids, stepwise = GrowingCache(), torch.tensor([prompt]), []
    for position, token_id in enumerate(answer):
        start = 0 if position == 0 else len(prompt) + position - 1
        positions = torch.arange(start, start + ids.shape[1])[None]
        hidden = model.decode(model.embed(ids), positions, cache)[:, -1]
        logprobs = (model.image_logits(hidden) / 0.7).log_softmax(-1)
        stepwise.append(logprobs[0, token_id - grammar.vocab_size])
        ids = torch.tensor([[token_id]])
    torch.testing.assert_close(dense, torch.stack(stepwise), atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_row_scores_the_same_alone_and_in_a_padded_batch(checkpoint: Checkpoint) -> None:
    rows = [([20, 21, 22], [23]), ([30], [31, 32, 5])]
    together: Likelihood = score(checkpoint, rows)
    assert together.mask_BT.tolist() == [[True, False, False], [True, True, True]]
    assert together.logprobs_BT[0, 1:].tolist() == [0, 0]
    for row, sequence in enumerate(rows):
        alone = score(checkpoint, [sequence])
        length = len(sequence[1])
        torch.testing.assert_close(
            together.logprobs_BT[row, :length], alone.logprobs_BT[0], atol=1e-5, rtol=0
        )
        torch.testing.assert_close(
            together.hidden_BTD[row, :length], alone.hidden_BTD[0], atol=1e-5, rtol=0
        )


def test_the_gradient_of_a_logprob_is_that_of_cross_entropy(checkpoint: Checkpoint) -> None:
    logits = torch.randn(3, checkpoint.grammar.vocab_size, requires_grad=True)
    targets = torch.tensor([20, 21, 22])
    logprobs, _ = answer_logprobs(
        _FixedLogits(), checkpoint.grammar, logits[None], targets[None],
        torch.ones(1, 3, dtype=torch.bool), temperature=1.0, allow_image=False,
    )  # fmt: skip
    logprobs.sum().backward()
    allowed = checkpoint.grammar.text_mask_V(allow_image=False)
    shares = logits.detach().masked_fill(~allowed, -torch.inf).softmax(-1)
    expected = nn.functional.one_hot(targets, logits.shape[1]) - shares
    torch.testing.assert_close(logits.grad, expected)
