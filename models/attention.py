"""The seam between the decoder and whoever keeps keys and values.

Dense for training and scoring (here); paged and cached for generation (the policy engine).
Legend: B batch, H query heads, J key-value heads, L length, K head size.
"""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Attention(Protocol):
    """Mixes positions of one layer. RoPE is already applied to query and key."""

    def __call__(
        self, layer: int, query_BHLK: Tensor, key_BJLK: Tensor, value_BJLK: Tensor
    ) -> Tensor:
        """Returns output_BHLK."""
        ...


class DenseAttention:
    """Whole sequences at once, padded on the right.

    `lengths_B` is needed only without `causal`: a causal position never sees the padding after it.
    """

    def __init__(self, lengths_B: Tensor | None = None, causal: bool = True) -> None:
        self._causal = causal
        self._lengths_B = None if causal else lengths_B

    def __call__(
        self, layer: int, query_BHLK: Tensor, key_BJLK: Tensor, value_BJLK: Tensor
    ) -> Tensor:
        repeats = query_BHLK.shape[1] // key_BJLK.shape[1]
        key_BHLK = key_BJLK.repeat_interleave(repeats, dim=1)
        value_BHLK = value_BJLK.repeat_interleave(repeats, dim=1)
        return F.scaled_dot_product_attention(
            query_BHLK,
            key_BHLK,
            value_BHLK,
            attn_mask=self._mask_B11L(key_BHLK),
            is_causal=self._causal,
        )

    def _mask_B11L(self, key_BHLK: Tensor) -> Tensor | None:
        if self._lengths_B is None:
            return None
        positions_L = torch.arange(key_BHLK.shape[2], device=key_BHLK.device)
        return (positions_L < self._lengths_B[:, None])[:, None, None, :]
