"""GRPO: rewards centred on their group's mean, divided by its std (Shao et al. 2024, 2402.03300).

Without the division it is Dr. GRPO (Liu et al. 2025, 2503.20783). The loss is
`surrogate.clipped_surrogate`. Legend: P prompts, G samples per prompt.
"""

import torch
from torch import Tensor

from services.trainer.algorithms.groups import keep_usable, valid_mean

# Equal rewards differ from their float32 mean by rounding; below this a group has no variance.
_MIN_STD = 1e-6


def grpo_advantages(rewards_PG: Tensor, valid_PG: Tensor, divide_by_std: bool = True) -> Tensor:
    """advantages_PG; 0 for a group without variance, an invalid sample, or fewer than two valid.

    The std is the unbiased one (n - 1), and nothing is added to it.
    """
    centred_PG = torch.where(valid_PG, rewards_PG - valid_mean(rewards_PG, valid_PG), 0.0)
    count_P1 = valid_PG.sum(dim=1, keepdim=True)
    std_P1 = (centred_PG.square().sum(dim=1, keepdim=True) / (count_P1 - 1).clamp(min=1)).sqrt()
    has_variance_P1 = std_P1 > _MIN_STD
    scale_P1 = torch.where(has_variance_P1, std_P1, 1.0) if divide_by_std else 1.0
    advantages_PG = torch.where(has_variance_P1, centred_PG / scale_P1, 0.0)
    return keep_usable(advantages_PG, valid_PG)
