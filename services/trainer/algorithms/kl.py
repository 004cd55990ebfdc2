"""KL(π‖π_ref) from samples of π, by the place where it acts; u = log π/π_ref.

k1 = u, k2 = u²/2, k3 = e^-u - 1 + u (Schulman 2020). Which of them gives the gradient of the
reverse KL depends on the place (reference/rl_peers.md §6, tested in closed form): k1 in the
reward, k2 in the loss, and ρ·k3 in the loss with the gradient through ρ (2512.02556). k1 in the
loss penalises nothing and k3 alone gives the forward KL, so neither can be chosen.
Legend: B answers, T answer length.
"""

import torch
from torch import Tensor

from services.trainer.algorithms.names import KlPlacement


def k1(logprobs_BT: Tensor, reference_BT: Tensor) -> Tensor:
    """Unbiased, of either sign."""
    return logprobs_BT - reference_BT


def k2(logprobs_BT: Tensor, reference_BT: Tensor) -> Tensor:
    """Biased, never negative."""
    return (logprobs_BT - reference_BT).square() / 2


def k3(logprobs_BT: Tensor, reference_BT: Tensor) -> Tensor:
    """Unbiased, never negative."""
    u_BT = logprobs_BT - reference_BT
    return (-u_BT).exp() - 1 + u_BT


def loss_term(
    placement: KlPlacement, logprobs_BT: Tensor, old_logprobs_BT: Tensor, reference_BT: Tensor
) -> Tensor:
    """Per-token term of the loss; zero for the placements outside the loss."""
    match placement:
        case "loss_k2":
            return k2(logprobs_BT, reference_BT)
        case "loss_rho_k3":
            ratio_BT = (logprobs_BT - old_logprobs_BT).exp()
            return ratio_BT * k3(logprobs_BT, reference_BT)
        case "none" | "reward_k1":
            return torch.zeros_like(logprobs_BT)
