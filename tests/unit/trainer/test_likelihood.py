"""One forward per group against one per answer; renormalisation over a sampler's support."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.grammar import Kind
from models.likelihood import completion_logprobs
from models.media import MediaTensors
from services.trainer.learning.likelihood import group_likelihood
from services.trainer.learning.packing import pack, row_tokens


def dense_likelihood(checkpoint, group, answer, temperature=1.0):
    ids = torch.from_numpy(np.concatenate([group.prompt_ids_L, answer.token_ids_T]))[None]
    features = checkpoint.model.encode_media(MediaTensors.from_arrays(group.media))
    prompt_lengths, lengths = torch.tensor([len(group.prompt_ids_L)]), torch.tensor([ids.shape[1]])
    return completion_logprobs(
        checkpoint.model, checkpoint.grammar, ids, prompt_lengths, lengths, features, temperature
    )


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_group_rows_score_as_one_sequence_per_answer(checkpoint, groups, temperature):
    packed = pack(groups, checkpoint.grammar)
    likelihood = group_likelihood(checkpoint.model, checkpoint.grammar, packed, temperature)
    num_answers = packed.answer_ids_PGT.shape[1]
    for p, group in enumerate(groups):
        for g, answer in enumerate(group.answers):
            row, length = p * num_answers + g, len(answer.token_ids_T)
            expected = dense_likelihood(checkpoint, group, answer, temperature)
            torch.testing.assert_close(
                likelihood.logprobs_BT[row, :length], expected.logprobs_BT[0], atol=1e-5, rtol=1e-5
            )
            torch.testing.assert_close(
                likelihood.hidden_BTD[row, :length], expected.hidden_BTD[0], atol=1e-5, rtol=1e-5
            )


def test_gradients_are_those_of_one_sequence_per_answer(checkpoint, groups):
    model, packed = checkpoint.model, pack(groups, checkpoint.grammar)
    group_likelihood(model, checkpoint.grammar, packed, 1.0).logprobs_BT.sum().backward()
    together = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    for group in groups:
        for answer in group.answers:
            dense_likelihood(checkpoint, group, answer).logprobs_BT.sum().backward()
    for name, parameter in model.named_parameters():
        if name in together:
            torch.testing.assert_close(together[name], parameter.grad, atol=2e-4, rtol=2e-4)


def test_forced_tokens_and_missing_answers_are_outside_the_mask(checkpoint, groups):
    packed = pack(groups, checkpoint.grammar)
    mask_BT = group_likelihood(checkpoint.model, checkpoint.grammar, packed, 1.0).mask_BT
    kinds_BT = checkpoint.grammar.kinds(packed.answer_ids_PGT.flatten(0, 1))
    assert not mask_BT[kinds_BT == Kind.END_OF_IMAGE].any()
    assert mask_BT.sum(dim=1).tolist() == [4, 1, 7, 2, 5, 0, 64, 64, 0]


def test_a_group_of_single_tokens_needs_no_answer_rows(checkpoint, groups):
    group = replace(groups[0], answers=(groups[0].answers[1],))
    packed = pack([group], checkpoint.grammar)
    assert row_tokens(group) == len(group.prompt_ids_L)
    expected = dense_likelihood(checkpoint, group, group.answers[0])
    logprobs_BT = group_likelihood(checkpoint.model, checkpoint.grammar, packed, 1.0).logprobs_BT
    torch.testing.assert_close(logprobs_BT, expected.logprobs_BT, atol=1e-5, rtol=1e-5)


def test_a_truncated_token_is_scored_within_its_support(checkpoint, groups):
    vocab_size = checkpoint.grammar.vocab_size
    text, drawn = groups[1].answers[0], groups[2].answers[0]
    text_ids, code_ids = text.token_ids_T, drawn.token_ids_T
    text_support = np.asarray([text_ids[0], 31, 77])
    code_support = np.asarray(
        [code_ids[0], *(c for c in (vocab_size, vocab_size + 5) if c != code_ids[0])]
    )
    truncated = [
        replace(groups[1], answers=(replace(text, supports=(text_support, None)),)),
        replace(groups[2], answers=(replace(drawn, supports=(code_support, *[None] * 64)),)),
    ]
    model, grammar = checkpoint.model, checkpoint.grammar
    found = group_likelihood(model, grammar, pack(truncated, grammar), 0.8)
    for row, (group, answer, support, head, lowest) in enumerate([
        (groups[1], text, text_support, model.text_logits, 0),
        (groups[2], drawn, code_support, model.image_logits, vocab_size),
    ]):  # fmt: skip
        expected = dense_likelihood(checkpoint, group, answer, 0.8)
        logits = head(expected.hidden_BTD[0, 0]) / 0.8
        kept = logits[torch.from_numpy(support - lowest)]
        torch.testing.assert_close(
            found.logprobs_BT[row, 0], kept[0] - kept.logsumexp(0), atol=1e-5, rtol=1e-5
        )
        torch.testing.assert_close(
            found.logprobs_BT[row, 1], expected.logprobs_BT[0, 1], atol=1e-5, rtol=1e-5
        )
