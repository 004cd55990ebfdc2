"""Residual add and RMSNorm (Zhang & Sennrich 2019) in one pass over the hidden states.

Legend: T tokens, D width.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor


def add_rms_norm(
    hidden_TD: Tensor, update_TD: Tensor | None, weight_D: Tensor, eps: float
) -> Tensor:
    """normed_TD of hidden + update, where there is one; `hidden_TD` becomes the sum."""
    normed_TD = torch.empty_like(hidden_TD)
    num_tokens, width = hidden_TD.shape
    block = triton.next_power_of_2(width)
    add_rms_norm_kernel[(num_tokens,)](
        *(hidden_TD, update_TD, weight_D, normed_TD, width, eps),
        BLOCK_D=block,
        num_warps=max(1, min(8, block // 256)),
    )
    return normed_TD


@triton.jit
def add_rms_norm_kernel(
    hidden_TD: tl.tensor,
    update_TD: tl.tensor,
    weight_D: tl.tensor,
    normed_TD: tl.tensor,
    width: tl.tensor,
    eps: tl.tensor,
    BLOCK_D: tl.constexpr,
) -> None:
    columns_D = tl.arange(0, BLOCK_D)
    is_column_D = columns_D < width
    places_D = tl.program_id(0).to(tl.int64) * width + columns_D
    hidden_D = tl.load(hidden_TD + places_D, mask=is_column_D, other=0.0)
    if update_TD is not None:
        # Rounded like the sum that is stored, so that the norm is of what goes on.
        update_D = tl.load(update_TD + places_D, mask=is_column_D, other=0.0)
        hidden_D = (hidden_D.to(tl.float32) + update_D.to(tl.float32)).to(hidden_D.dtype)
        tl.store(hidden_TD + places_D, hidden_D, mask=is_column_D)
    exact_D = hidden_D.to(tl.float32)
    scale = tl.rsqrt(tl.sum(exact_D * exact_D, axis=0) / width + eps)
    weight_D = tl.load(weight_D + columns_D, mask=is_column_D, other=0.0).to(tl.float32)
    normed_D = (exact_D * scale * weight_D).to(hidden_D.dtype)
    tl.store(normed_TD + places_D, normed_D, mask=is_column_D)
