"""Renormalises log-probabilities over the ids that a truncated sampler drew from (law 4).

log q(x) = z_x - log Σ_{s in support} e^{z_s}: what the grammar forbids is never in a support.
Legend: B answers, T answer length, D width, R truncated tokens of one kind, U ids of a support.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from models.grammar import Grammar
from models.omni import OmniModel


def within_supports(
    model: OmniModel,
    grammar: Grammar,
    hidden_BTD: Tensor,
    targets_BT: Tensor,
    supports: Sequence[Sequence[Tensor | None]],
    logprobs_BT: Tensor,
    temperature: float,
) -> Tensor:
    """`logprobs_BT` with those tokens replaced that have a support, given as [B][T]."""
    for head, lowest_id, highest_id in (
        (model.text_logits, 0, grammar.vocab_size),
        (model.image_logits, grammar.vocab_size, grammar.vocab_size + grammar.codebook_size),
    ):
        truncated = {
            (row, t): ids - lowest_id
            for row, of_answer in enumerate(supports)
            for t, ids in enumerate(of_answer)
            if ids is not None and lowest_id <= int(targets_BT[row, t]) < highest_id
        }
        if truncated:
            places = tuple(torch.tensor(list(truncated)).T)
            logits = head(hidden_BTD[places]).float() / temperature
            logprobs_R = _renormalized(
                logits, targets_BT[places] - lowest_id, list(truncated.values())
            )
            logprobs_BT = logprobs_BT.index_put(places, logprobs_R)
    return logprobs_BT


def _renormalized(logits: Tensor, targets_R: Tensor, supports: Sequence[Tensor]) -> Tensor:
    ids_RU = pad_sequence(list(supports), batch_first=True, padding_value=-1)
    kept_RU = logits.gather(1, ids_RU.clamp(min=0)).masked_fill(ids_RU < 0, -torch.inf)
    chosen_R = logits.gather(1, targets_R[:, None]).squeeze(1)
    return chosen_R - kept_RU.logsumexp(dim=1)
