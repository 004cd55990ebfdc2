"""RoPE on queries and keys, and keys and values into pages of the cache, in one pass.

Legend: T tokens, S sequences, M pages of a sequence, N pages of the cache, H heads, J key-value
heads, P places of a page, K head size, h half of it, L positions.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from models.config import DecoderConfig
from models.decoder import Rotation
from services.policy.engine.paged_attention import StepPlan
from services.policy.engine.pages import PAGE_TOKENS


@dataclass(frozen=True, slots=True, eq=False)
class Angles:
    """Of all positions, float32."""

    cos_Lh: Tensor
    sin_Lh: Tensor


def angles_of(config: DecoderConfig, device: torch.device) -> Angles:
    """As models/decoder.py has them."""
    rotation = Rotation(torch.arange(config.max_length)[None], config)
    half = config.head_size // 2
    return Angles(
        rotation.cos_B1LK[0, 0, :, :half].contiguous().to(device),
        rotation.sin_B1LK[0, 0, :, :half].contiguous().to(device),
    )


def rotate_and_store(
    heads_TAK: Tensor, angles: Angles, plan: StepPlan, keys_NJPK: Tensor, values_NJPK: Tensor
) -> Tensor:
    """query_THK, rotated. `heads_TAK` are a token's H queries, then its J keys and J values."""
    num_tokens, num_all, head_size = heads_TAK.shape
    num_kv_heads = keys_NJPK.shape[1]
    num_heads = num_all - 2 * num_kv_heads
    query_THK = heads_TAK.new_empty(num_tokens, num_heads, head_size)
    half = head_size // 2
    rotate_and_store_kernel[(num_tokens, num_all)](
        *(heads_TAK, angles.cos_Lh, angles.sin_Lh, plan.positions_T, plan.table_of_T),
        *(plan.tables_SM, plan.tables_SM.shape[1], query_THK, keys_NJPK, values_NJPK),
        *(num_heads, num_kv_heads, half),
        PAGE_TOKENS=PAGE_TOKENS,
        BLOCK_h=triton.next_power_of_2(half),
        num_warps=1,
    )
    return query_THK


@triton.jit
def rotate_and_store_kernel(
    heads_TAK: tl.tensor,
    cos_Lh: tl.tensor,
    sin_Lh: tl.tensor,
    positions_T: tl.tensor,
    table_of_T: tl.tensor,
    tables_SM: tl.tensor,
    pages_per_table: tl.tensor,
    query_THK: tl.tensor,
    keys_NJPK: tl.tensor,
    values_NJPK: tl.tensor,
    num_heads: tl.constexpr,
    num_kv_heads: tl.constexpr,
    half: tl.constexpr,
    PAGE_TOKENS: tl.constexpr,
    BLOCK_h: tl.constexpr,
) -> None:
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    columns_h = tl.arange(0, BLOCK_h)
    is_column_h = columns_h < half
    position = tl.load(positions_T + token)
    heads_K = heads_TAK + (token * (num_heads + 2 * num_kv_heads) + head) * 2 * half
    first_h = tl.load(heads_K + columns_h, mask=is_column_h, other=0.0)
    second_h = tl.load(heads_K + half + columns_h, mask=is_column_h, other=0.0)
    if head < num_heads + num_kv_heads:
        cos_h = tl.load(cos_Lh + position * half + columns_h, mask=is_column_h, other=0.0)
        sin_h = tl.load(sin_Lh + position * half + columns_h, mask=is_column_h, other=0.0)
        exact_h, other_h = first_h.to(tl.float32), second_h.to(tl.float32)
        first_h = (exact_h * cos_h - other_h * sin_h).to(first_h.dtype)
        second_h = (other_h * cos_h + exact_h * sin_h).to(second_h.dtype)
    if head < num_heads:
        query_K = query_THK + (token * num_heads + head) * 2 * half
        tl.store(query_K + columns_h, first_h, mask=is_column_h)
        tl.store(query_K + half + columns_h, second_h, mask=is_column_h)
    else:
        table_M = tables_SM + tl.load(table_of_T + token).to(tl.int64) * pages_per_table
        page = tl.load(table_M + position // PAGE_TOKENS).to(tl.int64)
        kv_head = (head - num_heads) % num_kv_heads
        row = (page * num_kv_heads + kv_head) * PAGE_TOKENS + position % PAGE_TOKENS
        places_h = row * 2 * half + columns_h
        if head < num_heads + num_kv_heads:
            tl.store(keys_NJPK + places_h, first_h, mask=is_column_h)
            tl.store(keys_NJPK + half + places_h, second_h, mask=is_column_h)
        else:
            tl.store(values_NJPK + places_h, first_h, mask=is_column_h)
            tl.store(values_NJPK + half + places_h, second_h, mask=is_column_h)
