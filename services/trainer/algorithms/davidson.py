"""Pairs with ties as a likelihood (Davidson 1970), and acceptability as an absolute anchor.

With δ = r_first - r_second + nuisances, the outcomes first / tie / second have logits
[δ/2, log ν, -δ/2]; ν → 0 is Bradley-Terry. Leaving ties out biases the strength of preference
(2410.05328). "Both bad" is a tie between two answers that are each unacceptable.
Legend: N pairs.
"""

import torch
from torch import Tensor
from torch.nn import functional

FIRST, TIE, SECOND = 0, 1, 2


def davidson_logits(delta_N: Tensor, log_nu: Tensor) -> Tensor:
    """logits_N3 of first, tie, second."""
    return torch.stack([delta_N / 2, log_nu.expand_as(delta_N), -delta_N / 2], dim=-1)


def davidson_loss(delta_N: Tensor, log_nu: Tensor, outcome_N: Tensor) -> Tensor:
    """loss_N: negative log-likelihood of each outcome (FIRST, TIE or SECOND)."""
    return functional.cross_entropy(davidson_logits(delta_N, log_nu), outcome_N, reduction="none")


def acceptability_loss(logits_M: Tensor, is_acceptable_M: Tensor, is_known_M: Tensor) -> Tensor:
    """Sum of binary cross-entropies over the answers of which acceptability is known."""
    losses_M = functional.binary_cross_entropy_with_logits(
        logits_M, is_acceptable_M.to(logits_M.dtype), reduction="none"
    )
    return torch.where(is_known_M, losses_M, 0.0).sum()
