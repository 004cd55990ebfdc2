"""Attention of single tokens over pages of the cache: each reads what is cached of its sequence.

A long sequence is split, and the parts are combined (FlashDecoding, Dao et al. 2023). How it is
split depends on its own length alone, so company changes no bit. The query heads that share a
key-value head are computed together, so that each page is read once. Sums are float32.
Legend: R tokens, H heads, J key-value heads, G heads that share one, K head size, N pages,
P places of a page, M pages of a sequence, L places of a block, C parts.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from services.policy.engine.pages import PAGE_TOKENS

_PART_TOKENS = 256  # of the shortest part
_MAX_PARTS = 32
_BLOCK_L = 32  # 64 spill registers
_SMALLEST_DOT = 16  # rows and columns that tensor cores take


def attend_rows(
    query_RHK: Tensor, keys_NJPK: Tensor, values_NJPK: Tensor, tables_RM: Tensor, lengths_R: Tensor
) -> Tensor:
    """mixed_RHK. paged_attention.attend_rows is the definition."""
    num_rows, num_heads, head_size = query_RHK.shape
    num_kv_heads = keys_NJPK.shape[1]
    num_parts = min(_MAX_PARTS, triton.cdiv(tables_RM.shape[1] * PAGE_TOKENS, _PART_TOKENS))
    mixed_RHK = torch.empty_like(query_RHK)
    parts_shape = (num_rows, num_heads, num_parts)
    mixed_RHCK = query_RHK.new_empty(*parts_shape, head_size, dtype=torch.float32)
    weight_RHC2 = query_RHK.new_empty(*parts_shape, 2, dtype=torch.float32)
    group = num_heads // num_kv_heads
    block_K = max(_SMALLEST_DOT, triton.next_power_of_2(head_size))
    attend_part_kernel[(num_rows, num_kv_heads, num_parts)](
        *(query_RHK.contiguous(), keys_NJPK, values_NJPK, tables_RM, tables_RM.shape[1]),
        *(lengths_R, mixed_RHCK, weight_RHC2, head_size**-0.5),
        *(num_kv_heads, group, head_size, PAGE_TOKENS, _PART_TOKENS, _MAX_PARTS),
        BLOCK_G=max(_SMALLEST_DOT, triton.next_power_of_2(group)),
        BLOCK_L=_BLOCK_L,
        BLOCK_K=block_K,
        num_warps=4 if query_RHK.element_size() == 2 else 8,
    )
    combine_parts_kernel[(num_rows, num_heads)](
        *(mixed_RHCK, weight_RHC2, lengths_R, mixed_RHK, num_parts),
        *(head_size, _PART_TOKENS, _MAX_PARTS),
        BLOCK_L=_BLOCK_L,
        BLOCK_K=block_K,
        num_warps=4,
    )
    return mixed_RHK


@triton.jit
def attend_part_kernel(
    query_RHK: tl.tensor,
    keys_NJPK: tl.tensor,
    values_NJPK: tl.tensor,
    tables_RM: tl.tensor,
    pages_per_table: tl.tensor,
    lengths_R: tl.tensor,
    mixed_RHCK: tl.tensor,
    weight_RHC2: tl.tensor,
    scale: tl.tensor,
    num_kv_heads: tl.constexpr,
    group: tl.constexpr,
    head_size: tl.constexpr,
    PAGE_TOKENS: tl.constexpr,
    PART_TOKENS: tl.constexpr,
    MAX_PARTS: tl.constexpr,
    BLOCK_G: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_K: tl.constexpr,
) -> None:
    row, kv_head, part = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.program_id(2)
    length = tl.load(lengths_R + row)
    part_tokens = _part_tokens(length, PART_TOKENS, MAX_PARTS, BLOCK_L)
    start = part * part_tokens
    if start >= length:
        return
    stop = tl.minimum(start + part_tokens, length)
    heads_G, columns_K = tl.arange(0, BLOCK_G), tl.arange(0, BLOCK_K)
    is_head_G, is_column_K = heads_G < group, columns_K < head_size
    is_query_GK = is_head_G[:, None] & is_column_K[None, :]
    head_G = (row * num_kv_heads + kv_head) * group + heads_G
    query_GK = tl.load(
        query_RHK + head_G[:, None] * head_size + columns_K[None, :], mask=is_query_GK, other=0.0
    )
    table_M = tables_RM + row * pages_per_table
    peak_G, total_G = tl.full([BLOCK_G], float("-inf"), tl.float32), tl.zeros([BLOCK_G], tl.float32)
    mixed_GK = tl.zeros([BLOCK_G, BLOCK_K], tl.float32)
    for first in range(start, stop, BLOCK_L):
        tokens_L = first + tl.arange(0, BLOCK_L)
        is_seen_L = tokens_L < stop
        page_L = tl.load(table_M + tokens_L // PAGE_TOKENS, mask=is_seen_L, other=0).to(tl.int64)
        place_L = (page_L * num_kv_heads + kv_head) * PAGE_TOKENS + tokens_L % PAGE_TOKENS
        places_LK = place_L[:, None] * head_size + columns_K[None, :]
        is_seen_LK = is_seen_L[:, None] & is_column_K[None, :]
        key_LK = tl.load(keys_NJPK + places_LK, mask=is_seen_LK, other=0.0)
        scores_GL = tl.dot(query_GK, tl.trans(key_LK), input_precision="ieee") * scale
        scores_GL = tl.where(is_seen_L[None, :], scores_GL, float("-inf"))
        higher_G = tl.maximum(peak_G, tl.max(scores_GL, axis=1))
        shares_GL = tl.exp(scores_GL - higher_G[:, None])
        shrink_G = tl.exp(peak_G - higher_G)
        total_G = total_G * shrink_G + tl.sum(shares_GL, axis=1)
        value_LK = tl.load(values_NJPK + places_LK, mask=is_seen_LK, other=0.0)
        mixed_GK *= shrink_G[:, None]
        mixed_GK += tl.dot(shares_GL.to(value_LK.dtype), value_LK, input_precision="ieee")
        peak_G = higher_G
    part_G = head_G * tl.num_programs(2) + part
    places_GK = part_G[:, None] * head_size + columns_K[None, :]
    tl.store(mixed_RHCK + places_GK, mixed_GK, mask=is_query_GK)
    tl.store(weight_RHC2 + part_G * 2, peak_G, mask=is_head_G)
    tl.store(weight_RHC2 + part_G * 2 + 1, total_G, mask=is_head_G)


@triton.jit
def combine_parts_kernel(
    mixed_RHCK: tl.tensor,
    weight_RHC2: tl.tensor,
    lengths_R: tl.tensor,
    mixed_RHK: tl.tensor,
    num_parts: tl.tensor,
    head_size: tl.constexpr,
    PART_TOKENS: tl.constexpr,
    MAX_PARTS: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_K: tl.constexpr,
) -> None:
    row, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    length = tl.load(lengths_R + row)
    part_tokens = _part_tokens(length, PART_TOKENS, MAX_PARTS, BLOCK_L)
    parts_C = tl.arange(0, MAX_PARTS)
    is_part_C = parts_C < tl.cdiv(length, part_tokens)
    head_row = row * tl.num_programs(1) + head
    part_C = head_row * num_parts + parts_C
    peak_C = tl.load(weight_RHC2 + part_C * 2, mask=is_part_C, other=float("-inf"))
    total_C = tl.load(weight_RHC2 + part_C * 2 + 1, mask=is_part_C, other=0.0)
    weight_C = tl.exp(peak_C - tl.max(peak_C, axis=0))
    columns_K = tl.arange(0, BLOCK_K)
    is_column_K = columns_K < head_size
    mixed_CK = tl.load(
        mixed_RHCK + part_C[:, None] * head_size + columns_K[None, :],
        mask=is_part_C[:, None] & is_column_K[None, :],
        other=0.0,
    )
    mixed_K = tl.sum(mixed_CK * weight_C[:, None], axis=0) / tl.sum(total_C * weight_C, axis=0)
    places_K = head_row * head_size + columns_K
    tl.store(mixed_RHK + places_K, mixed_K.to(mixed_RHK.dtype.element_ty), mask=is_column_K)


@triton.jit
def _part_tokens(
    length: tl.tensor, PART_TOKENS: tl.constexpr, MAX_PARTS: tl.constexpr, BLOCK_L: tl.constexpr
) -> tl.tensor:
    """Whole blocks, and no more parts than MAX_PARTS."""
    blocks = tl.cdiv(tl.cdiv(length, MAX_PARTS), BLOCK_L)
    return tl.maximum(blocks * BLOCK_L, PART_TOKENS)
