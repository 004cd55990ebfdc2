"""Keys and values of all layers as one tensor, on any device in any precision.

Legend: N pages, J key-value heads, P places of a page, K head size.
"""

import torch
from torch import Tensor

from models.config import DecoderConfig
from services.policy.engine.pages import PAGE_TOKENS


class TorchCache:
    """[layers, keys and values, N + 1, J, P, K]. `scratch_page` is nobody's: what rows that only
    fill a batch up to its size would cache goes there."""

    def __init__(
        self, config: DecoderConfig, num_pages: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        per_page = (config.num_kv_heads, PAGE_TOKENS, config.head_size)
        shape = (config.num_layers, 2, num_pages + 1, *per_page)
        self._data = torch.zeros(shape, device=device, dtype=dtype)
        self.scratch_page = num_pages

    @property
    def num_bytes(self) -> int:
        return self._data.nbytes

    def layer(self, index: int) -> tuple[Tensor, Tensor]:
        """keys_NJPK and values_NJPK, to be read and written."""
        keys_NJPK, values_NJPK = self._data[index]
        return keys_NJPK, values_NJPK

    def copy_page(self, source: int, target: int) -> None:
        """All layers of one page over another."""
        self._data[:, :, target] = self._data[:, :, source]
