"""PPO's critic side: generalised advantages (1506.02438) and the clipped value loss (1707.06347).

The policy loss is `surrogate.clipped_surrogate`. A position outside the mask (a token that was
forced, not chosen) is skipped over, not treated as a step without reward.
Legend: B answers, T answer length.
"""

import torch
from torch import Tensor


def generalized_advantages(
    rewards_BT: Tensor, values_BT: Tensor, mask_BT: Tensor, gamma: float = 1.0, lam: float = 0.95
) -> tuple[Tensor, Tensor]:
    """(advantages_BT, returns_BT), zero outside the mask; what follows the end has value 0.

    δ_t = r_t + γ V_{t+1} - V_t;  A_t = δ_t + γλ A_{t+1};  return = A_t + V_t.
    """
    advantages_BT = torch.zeros_like(values_BT)
    next_value_B = torch.zeros_like(values_BT[:, 0])
    running_B = torch.zeros_like(next_value_B)
    for t in reversed(range(values_BT.shape[1])):
        chosen_B = mask_BT[:, t]
        delta_B = rewards_BT[:, t] + gamma * next_value_B - values_BT[:, t]
        running_B = torch.where(chosen_B, delta_B + gamma * lam * running_B, running_B)
        next_value_B = torch.where(chosen_B, values_BT[:, t], next_value_B)
        advantages_BT[:, t] = running_B
    advantages_BT = torch.where(mask_BT, advantages_BT, 0.0)
    return advantages_BT, torch.where(mask_BT, advantages_BT + values_BT, 0.0)


def terminal_rewards(rewards_B: Tensor, mask_BT: Tensor) -> Tensor:
    """rewards_BT: each answer's reward at its last token in the mask, 0 elsewhere."""
    position_T = torch.arange(1, mask_BT.shape[1] + 1)
    last_B1 = (position_T * mask_BT).argmax(dim=1, keepdim=True)
    rewards_BT = torch.zeros(mask_BT.shape, dtype=rewards_B.dtype)
    rewards_BT = rewards_BT.scatter(1, last_B1, rewards_B[:, None])
    return torch.where(mask_BT, rewards_BT, 0.0)


def whiten(advantages_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Mean 0 and std 1 over all tokens in the mask; unchanged but centred without variance."""
    chosen = advantages_BT[mask_BT]
    std = chosen.std(correction=0)
    scale = torch.where(std > 1e-6, std, 1.0)
    return torch.where(mask_BT, (advantages_BT - chosen.mean()) / scale, 0.0)


def clipped_value_loss(
    values_BT: Tensor, old_values_BT: Tensor, returns_BT: Tensor, clip: float | None
) -> Tensor:
    """loss_BT = ½ max[(V - R)², (V_old + clip(V - V_old) - R)²]; `clip` None leaves the first."""
    error_BT = (values_BT - returns_BT).square()
    if clip is None:
        return error_BT / 2
    near_BT = old_values_BT + (values_BT - old_values_BT).clamp(-clip, clip)
    return torch.maximum(error_BT, (near_BT - returns_BT).square()) / 2
