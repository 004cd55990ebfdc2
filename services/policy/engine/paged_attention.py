"""Attention over pages of the cache, for tokens of any sequences in one list.

Where a sequence has a few tokens, its next and guesses at what follows, each goes as a row of its
own through `attend_rows`, in whose place a kernel may be given; many of one sequence, a chunk of
its prompt, go together through dense attention over its pages.
Legend: T tokens, S sequences, R rows, C tokens of a chunk, M pages of a sequence, N pages of the
cache, P places of a page, H heads, J key-value heads, K head size, L length.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.attention.bias import causal_lower_right

from services.policy.engine.executor import FlatStep
from services.policy.engine.pages import PAGE_TOKENS
from services.policy.engine.torch_cache import TorchCache

MOST_ROWS = 8  # of one sequence; more are a chunk

# (query_RHK, keys_NJPK, values_NJPK, tables_RM, lengths_R) to mixed_RHK.
RowAttention = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Tokens of one sequence, in their order; the last of them is its last, the `length`-th."""

    tokens_C: Tensor
    pages_M: Tensor
    length: int


@dataclass(frozen=True, slots=True, eq=False)
class StepPlan:
    """Where the tokens of a step stand and what they see, on the device. Indices are int32."""

    positions_T: Tensor
    table_of_T: Tensor
    tables_SM: Tensor
    rows_R: Tensor  # all tokens in their order, where there are no chunks
    row_tables_RM: Tensor
    row_lengths_R: Tensor
    chunks: tuple[Chunk, ...] = ()


def plan_step(step: FlatStep, device: torch.device) -> StepPlan:
    """Tokens may come in any order, but those of a sequence are consecutive positions."""
    order_T = np.lexsort((step.positions_T, step.table_of_T))
    starts = np.flatnonzero(np.diff(step.table_of_T[order_T], prepend=-1))
    groups = np.split(order_T, starts[1:])
    few = [group for group in groups if len(group) <= MOST_ROWS]
    rows_R = np.sort(np.concatenate([np.zeros(0, np.int64), *few]))
    num_pages = step.positions_T.max(initial=0) // PAGE_TOKENS + 1
    tables_SM = np.ascontiguousarray(step.tables_SN[:, :num_pages])

    def on_device(array: NDArray[np.integer]) -> Tensor:
        return torch.from_numpy(array).to(device, torch.int32)

    chunks = []
    for group in (group for group in groups if len(group) > MOST_ROWS):
        first, length = step.positions_T[group[0]], int(step.positions_T[group[-1]]) + 1
        assert length - first == len(group), "a chunk's positions are not consecutive"
        pages_M = tables_SM[step.table_of_T[group[0]], : -(-length // PAGE_TOKENS)]
        chunks.append(Chunk(on_device(group), on_device(pages_M), length))
    return StepPlan(
        on_device(step.positions_T),
        on_device(step.table_of_T),
        on_device(tables_SM),
        on_device(rows_R),
        on_device(tables_SM[step.table_of_T[rows_R]]),
        on_device(step.positions_T[rows_R] + 1),
        tuple(chunks),
    )


def attend_rows(
    query_RHK: Tensor, keys_NJPK: Tensor, values_NJPK: Tensor, tables_RM: Tensor, lengths_R: Tensor
) -> Tensor:
    """mixed_RHK of tokens that each see the first `lengths_R` places of their own pages."""
    heads = query_RHK.shape[1]
    key_RHLK, value_RHLK = (
        _repeated(pages_NJPK[tables_RM].transpose(1, 2).flatten(2, 3), heads)
        for pages_NJPK in (keys_NJPK, values_NJPK)
    )
    places_L = torch.arange(key_RHLK.shape[2], device=lengths_R.device)
    is_seen_RL = places_L < lengths_R[:, None]
    mixed_RH1K = F.scaled_dot_product_attention(
        query_RHK[:, :, None], key_RHLK, value_RHLK, attn_mask=is_seen_RL[:, None, None]
    )
    return mixed_RH1K.squeeze(2)


def attend_chunk(query_CHK: Tensor, keys_NJPK: Tensor, values_NJPK: Tensor, chunk: Chunk) -> Tensor:
    """mixed_CHK of a chunk, each token of which sees all up to itself."""
    key_1HLK, value_1HLK = (
        _repeated(
            pages_NJPK[chunk.pages_M].transpose(0, 1).flatten(1, 2)[None, :, : chunk.length],
            query_CHK.shape[1],
        )
        for pages_NJPK in (keys_NJPK, values_NJPK)
    )
    mixed_1HCK = F.scaled_dot_product_attention(
        query_CHK.transpose(0, 1)[None],
        key_1HLK,
        value_1HLK,
        attn_mask=_causal_mask_CL(len(query_CHK), chunk.length, query_CHK.device),
    )
    return mixed_1HCK[0].transpose(0, 1)


class PagedAttention:
    """models.attention.Attention of one step."""

    def __init__(
        self, cache: TorchCache, plan: StepPlan, attend_rows: RowAttention = attend_rows
    ) -> None:
        self._cache = cache
        self._plan = plan
        self._attend_rows = attend_rows

    def __call__(
        self, layer: int, query_1HTK: Tensor, key_1JTK: Tensor, value_1JTK: Tensor
    ) -> Tensor:
        """Rotation leaves float32 behind, in which bfloat16 would neither cache nor go on."""
        self.store(layer, key_1JTK[0].transpose(0, 1), value_1JTK[0].transpose(0, 1))
        query_THK = query_1HTK[0].transpose(0, 1).to(value_1JTK.dtype)
        return self.mix(layer, query_THK).transpose(0, 1)[None]

    def store(self, layer: int, key_TJK: Tensor, value_TJK: Tensor) -> None:
        """Puts keys and values where the tables of pages say."""
        plan = self._plan
        pages_T = plan.tables_SM[plan.table_of_T, plan.positions_T // PAGE_TOKENS]
        places_T = plan.positions_T % PAGE_TOKENS
        for pages_NJPK, new_TJK in zip(self._cache.layer(layer), (key_TJK, value_TJK), strict=True):
            pages_NJPK[pages_T, :, places_T] = new_TJK.to(pages_NJPK.dtype)

    def mix(self, layer: int, query_THK: Tensor) -> Tensor:
        """mixed_THK over what is stored."""
        plan, (keys_NJPK, values_NJPK) = self._plan, self._cache.layer(layer)
        seen = (keys_NJPK, values_NJPK, plan.row_tables_RM, plan.row_lengths_R)
        if not plan.chunks:
            return self._attend_rows(query_THK, *seen)
        mixed_THK = torch.empty_like(query_THK)
        if len(plan.rows_R):
            mixed_THK[plan.rows_R] = self._attend_rows(query_THK[plan.rows_R], *seen)
        for chunk in plan.chunks:
            query_CHK = query_THK[chunk.tokens_C]
            mixed_THK[chunk.tokens_C] = attend_chunk(query_CHK, keys_NJPK, values_NJPK, chunk)
        return mixed_THK


def _repeated(heads_BJLK: Tensor, num_heads: int) -> Tensor:
    """Each key-value head for the query heads that share it."""
    return heads_BJLK.repeat_interleave(num_heads // heads_BJLK.shape[1], dim=1)


def _causal_mask_CL(num_queries: int, length: int, device: torch.device) -> Tensor:
    """The queries are the last of the sequence. On CUDA, where flash attention knows this by
    itself, nothing is written out."""
    if device.type == "cuda":
        mask_CL: Tensor = causal_lower_right(num_queries, length)
        return mask_CL
    is_seen_CL = torch.ones(num_queries, length, dtype=torch.bool, device=device)
    return is_seen_CL.tril(length - num_queries)
