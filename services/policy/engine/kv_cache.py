"""Keys and values of the sequences of one batch, and the attention that reads and writes them.

Contiguous: row r of a batch owns row r here, and rows stay compact, so that a decode step attends
over plain views. Capacity grows by buckets. Whoever replaces this by pages keeps the four verbs:
`prefill`, `decode`, `move`, `reserve`.
Legend: R rows of the batch, P prompts, L length, H query heads, J key-value heads, K head size,
C capacity.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from models.attention import Attention, DenseAttention
from models.config import DecoderConfig

_LENGTH_BUCKET = 64


class KvCache:
    """float32, CPU. Unused places hold zeros or stale finite values, and are masked."""

    def __init__(self, config: DecoderConfig, max_rows: int) -> None:
        self._config = config
        self._max_rows = max_rows
        self._keys = [self._empty(0, 0) for _ in range(config.num_layers)]
        self._values = [self._empty(0, 0) for _ in range(config.num_layers)]

    @property
    def num_bytes(self) -> int:
        return sum(t.nbytes for t in (*self._keys, *self._values))

    def reserve(self, num_rows: int, length: int) -> None:
        """Makes room; what is cached stays. Raises ValueError beyond the rows or the context."""
        if num_rows > self._max_rows or length > self._config.max_length:
            raise ValueError(
                f"{num_rows} rows of {length} tokens do not fit into the cache of"
                f" {self._max_rows} rows of {self._config.max_length}"
            )
        rows, _, capacity, _ = self._keys[0].shape
        if num_rows > rows or length > capacity:
            rows = max(rows, min(_power_of_two(num_rows), self._max_rows))
            capacity = max(capacity, self._capacity_for(length, capacity))
            self._keys = [self._grown(old, rows, capacity) for old in self._keys]
            self._values = [self._grown(old, rows, capacity) for old in self._values]

    def prefill(self, first_row: int, prompt_of_row_R: Tensor) -> Attention:
        """Dense causal attention over prompts, each copied into the rows that begin with it."""
        return _Prefill(self, first_row, prompt_of_row_R)

    def decode(self, lengths_R: Tensor) -> Attention:
        """Attention of one new token per row, which lands at position `lengths_R`."""
        return _Decode(self, lengths_R)

    def move(self, sources: NDArray[np.int64], targets: NDArray[np.int64], length: int) -> None:
        """Copies the first `length` places of rows over others."""
        if len(sources):
            for cached_RJCK in (*self._keys, *self._values):
                cached_RJCK[targets, :, :length] = cached_RJCK[sources, :, :length]

    def layer(self, index: int) -> tuple[Tensor, Tensor]:
        """(keys_RJCK, values_RJCK) of a layer, to be written in place."""
        return self._keys[index], self._values[index]

    def _capacity_for(self, length: int, capacity: int) -> int:
        wanted = max(length, min(2 * capacity, length + 4 * _LENGTH_BUCKET))
        buckets = -(-wanted // _LENGTH_BUCKET)
        return min(buckets * _LENGTH_BUCKET, self._config.max_length)

    def _empty(self, rows: int, capacity: int) -> Tensor:
        return torch.zeros(rows, self._config.num_kv_heads, capacity, self._config.head_size)

    def _grown(self, old_RJCK: Tensor, rows: int, capacity: int) -> Tensor:
        new_RJCK = self._empty(rows, capacity)
        new_RJCK[: old_RJCK.shape[0], :, : old_RJCK.shape[2]] = old_RJCK
        return new_RJCK


class _Prefill:
    def __init__(self, cache: KvCache, first_row: int, prompt_of_row_R: Tensor) -> None:
        self._cache = cache
        self._rows = slice(first_row, first_row + len(prompt_of_row_R))
        self._prompt_of_row_R = prompt_of_row_R
        self._dense = DenseAttention()

    def __call__(
        self, layer: int, query_BHLK: Tensor, key_BJLK: Tensor, value_BJLK: Tensor
    ) -> Tensor:
        length = key_BJLK.shape[2]
        keys_RJCK, values_RJCK = self._cache.layer(layer)
        keys_RJCK[self._rows, :, :length] = key_BJLK[self._prompt_of_row_R]
        values_RJCK[self._rows, :, :length] = value_BJLK[self._prompt_of_row_R]
        return self._dense(layer, query_BHLK, key_BJLK, value_BJLK)


class _Decode:
    """Here B are the rows and L is 1."""

    def __init__(self, cache: KvCache, lengths_R: Tensor) -> None:
        self._cache = cache
        self._rows_R = torch.arange(len(lengths_R))
        self._places_R = lengths_R
        self._length = int(lengths_R.max()) + 1
        is_hidden_RL = torch.arange(self._length) > self._places_R[:, None]
        mask_RL = torch.zeros(is_hidden_RL.shape).masked_fill_(is_hidden_RL, -torch.inf)
        self._mask_R11L = mask_RL[:, None, None]

    def __call__(
        self, layer: int, query_BHLK: Tensor, key_BJLK: Tensor, value_BJLK: Tensor
    ) -> Tensor:
        keys_RJCK, values_RJCK = self._cache.layer(layer)
        keys_RJCK[self._rows_R, :, self._places_R] = key_BJLK[:, :, 0]
        values_RJCK[self._rows_R, :, self._places_R] = value_BJLK[:, :, 0]
        num_rows, num_heads, _, head_size = query_BHLK.shape
        # The query heads of one key-value head stand where the query positions would.
        grouped = (num_rows, key_BJLK.shape[1], -1, head_size)
        mixed = F.scaled_dot_product_attention(
            query_BHLK.reshape(grouped),
            keys_RJCK[:num_rows, :, : self._length],
            values_RJCK[:num_rows, :, : self._length],
            attn_mask=self._mask_R11L,
        )
        return mixed.reshape(num_rows, num_heads, 1, head_size)


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()
