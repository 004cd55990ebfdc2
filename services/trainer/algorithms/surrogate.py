"""Policy losses per token, to be minimised; `aggregate` turns them into one number.

ratio = π_θ / π_old. Where the weights are exactly those of π_old, pass `logprobs.detach()` as old:
the ratio is 1 and its gradient is that of log π (a constant 1 would have none).
Legend: B answers, T answer length.
"""

import torch
from torch import Tensor


def clipped_surrogate(
    logprobs_BT: Tensor,
    old_logprobs_BT: Tensor,
    advantages_BT: Tensor,
    clip_low: float,
    clip_high: float,
) -> tuple[Tensor, Tensor]:
    """(loss_BT, is_clipped_BT) of PPO's pessimistic bound (1707.06347, eq. 7).

    Two bounds instead of one: DAPO's clip-higher (2503.14476).
    """
    ratio_BT = (logprobs_BT - old_logprobs_BT).exp()
    free_BT = ratio_BT * advantages_BT
    bounded_BT = ratio_BT.clamp(1 - clip_low, 1 + clip_high) * advantages_BT
    return -torch.minimum(free_BT, bounded_BT), bounded_BT < free_BT


def policy_gradient(logprobs_BT: Tensor, old_logprobs_BT: Tensor, advantages_BT: Tensor) -> Tensor:
    """loss_BT = -ratio A: REINFORCE's gradient when on-policy, importance-weighted otherwise."""
    return -(logprobs_BT - old_logprobs_BT).exp() * advantages_BT
