"""RLOO: each reward against the mean of the other samples' (Ahmadian et al. 2024, 2402.14740).

A_i = R_i - 1/(k-1) Σ_{j≠i} R_j = k/(k-1) (R_i - mean R). The loss is `surrogate.policy_gradient`,
summed over each sequence. Legend: P prompts, G samples per prompt.
"""

import torch
from torch import Tensor

from services.trainer.algorithms.groups import keep_usable, valid_mean


def rloo_advantages(rewards_PG: Tensor, valid_PG: Tensor) -> Tensor:
    """advantages_PG; 0 for an invalid sample and for a group with fewer than two valid ones."""
    count_P1 = valid_PG.sum(dim=1, keepdim=True)
    correction_P1 = count_P1 / (count_P1 - 1).clamp(min=1)
    advantages_PG = correction_P1 * (rewards_PG - valid_mean(rewards_PG, valid_PG))
    return keep_usable(torch.where(valid_PG, advantages_PG, 0.0), valid_PG)
