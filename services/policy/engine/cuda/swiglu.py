"""SwiGLU (Shazeer 2020) on gates and values that one product made.

Legend: T tokens, M MLP width.
"""

import triton
import triton.language as tl
from torch import Tensor


def swiglu(gate_up_T2M: Tensor) -> Tensor:
    """silu(gate) × up: the first half of each row by the second."""
    num_tokens, mlp_width = gate_up_T2M.shape[0], gate_up_T2M.shape[1] // 2
    gated_TM = gate_up_T2M.new_empty(num_tokens, mlp_width)
    block = min(1024, triton.next_power_of_2(mlp_width))
    grid = (num_tokens, triton.cdiv(mlp_width, block))
    swiglu_kernel[grid](gate_up_T2M, gated_TM, mlp_width, BLOCK_M=block)
    return gated_TM


@triton.jit
def swiglu_kernel(
    gate_up_T2M: tl.tensor, gated_TM: tl.tensor, mlp_width: tl.tensor, BLOCK_M: tl.constexpr
) -> None:
    token = tl.program_id(0).to(tl.int64)
    columns_M = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    is_column_M = columns_M < mlp_width
    places_M = token * 2 * mlp_width + columns_M
    gate_M = tl.load(gate_up_T2M + places_M, mask=is_column_M, other=0.0).to(tl.float32)
    up_M = tl.load(gate_up_T2M + places_M + mlp_width, mask=is_column_M, other=0.0)
    gated_M = gate_M / (1 + tl.exp(-gate_M)) * up_M.to(tl.float32)
    places_M = token * mlp_width + columns_M
    tl.store(gated_TM + places_M, gated_M.to(up_M.dtype), mask=is_column_M)
