"""Truncated importance sampling between what sampled (μ) and what learns from it (π_old).

weight = sg(min(π_old / μ, C)) per token, multiplied into the policy loss: it corrects for an
engine whose arithmetic or weights differ from the trainer's (Yao et al. 2025, "TIS").
Legend: B answers, T answer length.
"""

from torch import Tensor


def truncated_weights(
    old_logprobs_BT: Tensor, sampler_logprobs_BT: Tensor, cap: float
) -> tuple[Tensor, Tensor]:
    """(weights_BT without gradient, is_truncated_BT)."""
    ratio_BT = (old_logprobs_BT - sampler_logprobs_BT).detach().exp()
    return ratio_BT.clamp(max=cap), ratio_BT > cap
