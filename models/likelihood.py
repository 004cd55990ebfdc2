"""Log-probabilities of given answers, as the sampler would have reported them (law 4).

float32, after temperature and grammar, before no other change: recipes sample without truncation
or guidance. Used by every training algorithm and as the engine's reference in tests.
Legend: B batch, L length, T longest answer, R rows of one kind, D width, V text ids, F features.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.attention import DenseAttention
from models.grammar import Grammar, Kind
from models.omni import OmniModel


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Of answers, left-aligned and zero where `mask_BT` is false.

    `hidden_BTD` is the state that predicted each token: what the value head reads.
    """

    logprobs_BT: Tensor
    entropy_BT: Tensor
    hidden_BTD: Tensor
    mask_BT: Tensor


def completion_logprobs(
    model: OmniModel,
    grammar: Grammar,
    token_ids_BL: Tensor,
    prompt_lengths_B: Tensor,
    lengths_B: Tensor,
    features_FD: Tensor | None = None,
    temperature: float = 1.0,
    allow_image: bool = False,
) -> Likelihood:
    """Runs the model over whole sequences (padded on the right) and scores the answer tokens.

    `allow_image` is the request's: it decides whether `begin_of_image` had a share of the mass.
    """
    positions_BL = torch.arange(token_ids_BL.shape[1]).expand_as(token_ids_BL)
    hidden_BLD = model.decode(
        model.embed(token_ids_BL, features_FD), positions_BL, DenseAttention(lengths_B)
    )
    index_BT, mask_BT = _answer_index(prompt_lengths_B, lengths_B)
    targets_BT = token_ids_BL.gather(1, index_BT)
    width = hidden_BLD.shape[-1]
    hidden_BTD = hidden_BLD.gather(1, (index_BT - 1)[..., None].expand(-1, -1, width))
    logprobs_BT, entropy_BT = answer_logprobs(
        model, grammar, hidden_BTD, targets_BT, mask_BT, temperature, allow_image
    )
    return Likelihood(logprobs_BT, entropy_BT, hidden_BTD, mask_BT)


def answer_logprobs(
    model: OmniModel,
    grammar: Grammar,
    hidden_BTD: Tensor,
    targets_BT: Tensor,
    mask_BT: Tensor,
    temperature: float,
    allow_image: bool,
) -> tuple[Tensor, Tensor]:
    """(logprobs_BT, entropy_BT) of targets, from the states that predict them."""
    kinds_BT = grammar.kinds(targets_BT)
    logprobs_BT = torch.zeros(targets_BT.shape, dtype=torch.float32)
    entropy_BT = torch.zeros_like(logprobs_BT)
    for kind in (Kind.TEXT, Kind.CODE):
        chosen_BT = mask_BT & (kinds_BT == kind)
        if not chosen_BT.any():
            continue
        hidden_RD, targets_R = hidden_BTD[chosen_BT], targets_BT[chosen_BT]
        if kind is Kind.TEXT:
            is_allowed_V = grammar.text_mask_V(allow_image)
            logits = model.text_logits(hidden_RD).float().masked_fill(~is_allowed_V, -torch.inf)
        else:
            logits = model.image_logits(hidden_RD).float()
            targets_R = targets_R - grammar.vocab_size
        logprobs_R, entropy_R = _score(logits / temperature, targets_R)
        logprobs_BT = logprobs_BT.masked_scatter(chosen_BT, logprobs_R)
        entropy_BT = entropy_BT.masked_scatter(chosen_BT, entropy_R)
    return logprobs_BT, entropy_BT


def _score(logits: Tensor, targets_R: Tensor) -> tuple[Tensor, Tensor]:
    logprobs = logits.log_softmax(dim=-1)
    entropy_R = torch.special.entr(logprobs.exp()).sum(dim=-1)
    return logprobs.gather(-1, targets_R[:, None]).squeeze(-1), entropy_R


def _answer_index(prompt_lengths_B: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
    """(index_BT into the sequence, clamped to its end; mask_BT of real answer tokens)."""
    longest = int((lengths_B - prompt_lengths_B).max())
    index_BT = prompt_lengths_B[:, None] + torch.arange(longest)
    mask_BT = index_BT < lengths_B[:, None]
    return index_BT.clamp(max=int(lengths_B.max()) - 1), mask_BT
