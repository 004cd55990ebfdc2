"""Decode steps as CUDA graphs: a step without prompts is replayed at the next larger size.

A graph is captured when its size first comes up, and belongs to one cache. Rows that only fill a
size read and write the cache's scratch page. Steps with chunks of prompts run as they come.
Legend: T tokens, B size of a graph, M pages of a sequence, W tokens whose state is wanted, D width.
"""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from models.config import DecoderConfig
from services.policy.engine.executor import FlatStep
from services.policy.engine.paged_attention import MOST_ROWS, StepPlan
from services.policy.engine.torch_cache import TorchCache

_LAST_DOUBLED = 64
_WARM_UPS = 2


class GraphableDecoder(Protocol):
    """What cuda/decoder.py offers."""

    config: DecoderConfig
    device: torch.device
    dtype: torch.dtype

    def run(self, step: FlatStep, cache: TorchCache) -> Tensor:
        """hidden_WD after the final norm."""

    def forward(self, hidden_TD: Tensor, plan: StepPlan, cache: TorchCache) -> Tensor:
        """normed_TD, by kernels alone: nothing that the host waits for."""


class DecodeGraphs:
    """A decoder of one executor. See torch_executor.FlatDecoder."""

    def __init__(self, decoder: GraphableDecoder) -> None:
        self._decoder = decoder
        self._cache: TorchCache | None = None
        self._graphs: dict[tuple[int, int], _DecodeGraph] = {}

    def run(self, step: FlatStep, cache: TorchCache) -> Tensor:
        """hidden_WD after the final norm."""
        if not is_decode(step):
            return self._decoder.run(step, cache)
        assert self._cache in (None, cache), "graphs know the addresses of one cache"
        self._cache = cache
        key = (graph_size(len(step.positions_T)), step.tables_SN.shape[1])
        if key not in self._graphs:
            self._graphs[key] = _DecodeGraph(self._decoder, cache, *key)
        return self._graphs[key].run(step)


def graph_size(num_rows: int) -> int:
    """1, 2, 4 … 64, then multiples of 64, so that a large batch is filled up by little."""
    if num_rows > _LAST_DOUBLED:
        return -(-num_rows // _LAST_DOUBLED) * _LAST_DOUBLED
    return 1 << (num_rows - 1).bit_length()


def is_decode(step: FlatStep) -> bool:
    """Whether all tokens go as rows, and all states are wanted."""
    return step.wanted_W is None and np.bincount(step.table_of_T).max(initial=0) <= MOST_ROWS


class _DecodeGraph:
    """One size: buffers that stay where they are, and what was captured over them."""

    def __init__(
        self, decoder: GraphableDecoder, cache: TorchCache, num_rows: int, num_pages: int
    ) -> None:
        self._decoder, self._cache = decoder, cache
        device = decoder.device
        self._filler = np.full((num_rows, 1 + num_pages), cache.scratch_page, np.int32)
        self._filler[:, 0] = 0
        self._indices = torch.from_numpy(self._filler).to(device)  # position, then the table
        self._table_of_B = torch.arange(num_rows, dtype=torch.int32, device=device)
        shape = (num_rows, decoder.config.width)
        self._hidden_BD = torch.zeros(shape, dtype=decoder.dtype, device=device)
        self._graph = torch.cuda.CUDAGraph()
        self._normed_BD = self._capture()

    def run(self, step: FlatStep) -> Tensor:
        """hidden_WD; a copy, since the next replay writes over it."""
        num_rows = len(step.positions_T)
        indices = self._filler.copy()
        indices[:num_rows, 0] = step.positions_T
        indices[:num_rows, 1:] = step.tables_SN[step.table_of_T]
        self._indices.copy_(torch.from_numpy(indices))
        self._hidden_BD[:num_rows] = step.hidden_TD
        self._graph.replay()
        return self._normed_BD[:num_rows].clone()

    def _capture(self) -> Tensor:
        """Kernels are compiled and libraries set up before; other threads may use the device."""
        for _ in range(_WARM_UPS):
            self._forward()
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            return self._forward()

    def _forward(self) -> Tensor:
        positions_B = self._indices[:, 0].contiguous()
        tables_BM = self._indices[:, 1:].contiguous()
        plan = StepPlan(
            *(positions_B, self._table_of_B, tables_BM),
            *(self._table_of_B, tables_BM, positions_B + 1),
        )
        return self._decoder.forward(self._hidden_BD, plan, self._cache)
