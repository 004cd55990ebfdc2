"""Log-probabilities of all answers of packed groups in one forward pass (laws 4 and 5).

The same numbers as `models.likelihood.completion_logprobs` on one padded sequence per answer, which
tests compare, at the cost of one prompt per group. In a step of 32 groups of 8 that is a third of
the tokens.
Legend: P groups, L prompt length, G answers, T answer length, S = L + G(T-1) row length, B = P·G,
D width, H heads, J key-value heads, K head size.
"""

import torch
from torch import Tensor
from torch.nn import functional

from models.grammar import Grammar
from models.likelihood import Likelihood, answer_logprobs
from models.omni import OmniModel
from services.trainer.learning.packing import PackedGroups
from services.trainer.learning.supports import within_supports


def group_likelihood(
    model: OmniModel, grammar: Grammar, packed: PackedGroups, temperature: float
) -> Likelihood:
    """Of the distribution that was sampled from; zero outside the mask."""
    num_groups, num_answers, longest = packed.answer_ids_PGT.shape
    fed_ids_PGt = packed.answer_ids_PGT[:, :, :-1]
    row_ids_PS = torch.cat([packed.prompt_ids_PL, fed_ids_PGt.flatten(1)], dim=1)
    hidden_PSD = model.decode(
        model.embed(row_ids_PS, model.encode_media(packed.media)),
        _positions_PS(packed),
        _GroupAttention(packed),
    )
    hidden_BTD = _predicting_states(hidden_PSD, packed)
    targets_BT = packed.answer_ids_PGT.view(num_groups * num_answers, longest)
    logprobs_BT, entropy_BT = answer_logprobs(
        model, grammar, hidden_BTD, targets_BT, packed.mask_BT, temperature, allow_image=False
    )
    if packed.supports:
        logprobs_BT = within_supports(
            model, grammar, hidden_BTD, targets_BT, packed.supports, logprobs_BT, temperature
        )
    return Likelihood(logprobs_BT, entropy_BT, hidden_BTD, packed.mask_BT)


class _GroupAttention:
    """Prompts attend causally to themselves; each answer to its prompt and causally to itself."""

    def __init__(self, packed: PackedGroups) -> None:
        self._num_groups, self._prompt_length = packed.prompt_ids_PL.shape
        self._num_answers = packed.answer_ids_PGT.shape[1]
        self._num_fed = packed.answer_ids_PGT.shape[2] - 1
        self._mask_B1TS = self._answer_mask_B1TS(packed.prompt_lengths_P)

    def __call__(
        self, layer: int, query_BHLK: Tensor, key_BJLK: Tensor, value_BJLK: Tensor
    ) -> Tensor:
        cut, repeats = self._prompt_length, query_BHLK.shape[1] // key_BJLK.shape[1]
        key_PHSK = key_BJLK.repeat_interleave(repeats, dim=1)
        value_PHSK = value_BJLK.repeat_interleave(repeats, dim=1)
        prompt_PHLK = functional.scaled_dot_product_attention(
            query_BHLK[:, :, :cut], key_PHSK[:, :, :cut], value_PHSK[:, :, :cut], is_causal=True
        )
        if self._num_fed == 0:
            return prompt_PHLK
        answer_BHTK = functional.scaled_dot_product_attention(
            self._answers(query_BHLK),
            self._with_prompt(key_PHSK),
            self._with_prompt(value_PHSK),
            attn_mask=self._mask_B1TS,
        )
        return torch.cat([prompt_PHLK, self._as_rows(answer_BHTK)], dim=2)

    def _answers(self, heads_PHSK: Tensor) -> Tensor:
        """heads_BHTK of the answers alone."""
        num_heads, _, head_size = heads_PHSK.shape[1:]
        shape = (self._num_groups, num_heads, self._num_answers, self._num_fed, head_size)
        answers_PHGTK = heads_PHSK[:, :, self._prompt_length :].reshape(shape)
        return answers_PHGTK.transpose(1, 2).flatten(0, 1)

    def _as_rows(self, heads_BHTK: Tensor) -> Tensor:
        """The inverse of `_answers`."""
        shape = (self._num_groups, self._num_answers, *heads_BHTK.shape[1:])
        return heads_BHTK.view(shape).transpose(1, 2).flatten(2, 3)

    def _with_prompt(self, heads_PHSK: Tensor) -> Tensor:
        """Heads of [prompt | answer] for each answer."""
        prompt_PHLK = heads_PHSK[:, :, : self._prompt_length]
        prompt_BHLK = prompt_PHLK.repeat_interleave(self._num_answers, dim=0)
        return torch.cat([prompt_BHLK, self._answers(heads_PHSK)], dim=2)

    def _answer_mask_B1TS(self, prompt_lengths_P: Tensor) -> Tensor:
        """True where a token of an answer looks: at real prompt tokens and back at its own."""
        causal_TT = torch.ones(self._num_fed, self._num_fed, dtype=torch.bool).tril()
        is_prompt_PL = torch.arange(self._prompt_length) < prompt_lengths_P[:, None]
        is_prompt_BL = is_prompt_PL.repeat_interleave(self._num_answers, dim=0)
        size = (len(is_prompt_BL), self._num_fed, -1)
        mask_BTS = torch.cat([is_prompt_BL[:, None].expand(size), causal_TT.expand(size)], dim=2)
        return mask_BTS[:, None]


def _positions_PS(packed: PackedGroups) -> Tensor:
    """Answers go on counting where their prompt ends."""
    _, num_answers, longest = packed.answer_ids_PGT.shape
    prompt_PL = torch.arange(packed.prompt_ids_PL.shape[1]).expand_as(packed.prompt_ids_PL)
    answer_Pt = packed.prompt_lengths_P[:, None] + torch.arange(longest - 1)
    return torch.cat([prompt_PL, answer_Pt.repeat(1, num_answers)], dim=1)


def _predicting_states(hidden_PSD: Tensor, packed: PackedGroups) -> Tensor:
    """hidden_BTD that predicts each token: the prompt's last state, then the answer's own."""
    num_groups, num_answers, longest = packed.answer_ids_PGT.shape
    width = hidden_PSD.shape[2]
    last_P1D = (packed.prompt_lengths_P - 1)[:, None, None].expand(-1, 1, width)
    first_PG1D = hidden_PSD.gather(1, last_P1D)[:, None].expand(-1, num_answers, -1, -1)
    answers_PSD = hidden_PSD[:, packed.prompt_ids_PL.shape[1] :]
    rest_PGtD = answers_PSD.reshape(num_groups, num_answers, longest - 1, width)
    return torch.cat([first_PG1D, rest_PGtD], dim=2).flatten(0, 1)
