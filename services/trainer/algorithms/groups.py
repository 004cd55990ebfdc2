"""What all group algorithms share: statistics over the valid samples of one prompt.

A sample that has no reward (it failed, timed out, was refused) is not valid: it takes no part in
its group's statistics and gets no advantage (DESIGN law 3). Two valid samples are the least.
Legend: P prompts, G samples per prompt.
"""

import torch
from torch import Tensor

MIN_VALID = 2


def usable_groups(valid_PG: Tensor) -> Tensor:
    """is_usable_P: groups with enough valid samples to compare."""
    return valid_PG.sum(dim=1) >= MIN_VALID


def valid_mean(rewards_PG: Tensor, valid_PG: Tensor) -> Tensor:
    """mean_P1 over valid samples; 0 for a group that has none."""
    count_P1 = valid_PG.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.where(valid_PG, rewards_PG, 0.0).sum(dim=1, keepdim=True) / count_P1


def keep_usable(advantages_PG: Tensor, valid_PG: Tensor) -> Tensor:
    """Zero where a sample is not valid or its group not usable."""
    return torch.where(valid_PG & usable_groups(valid_PG)[:, None], advantages_PG, 0.0)
