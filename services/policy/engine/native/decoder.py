"""The decoder's layers on the compiled kernels, over flat tokens and pages.

models/decoder.py is the definition. Legend: T tokens, D width, K head size, J key-value heads.
"""

import math
from collections.abc import Sequence
from ctypes import byref, c_void_p
from weakref import finalize

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.config import DecoderConfig
from models.decoder import Decoder, DecoderLayer, Rotation
from services.policy.engine.executor import FlatStep
from services.policy.engine.native.library import (
    LayerStruct,
    ShapeStruct,
    StepStruct,
    address,
    library,
)
from services.policy.engine.native.packed import Crew, PackedLinear, Precision
from services.policy.engine.pages import PAGE_TOKENS

_LINE_FLOATS = 16  # 64 bytes
_GATES = 16  # gates and values alternate by so many rows


class PagedCache:
    """Keys and values of all layers: float32 [layers, pages, J, 2, 16 K]."""

    def __init__(self, config: DecoderConfig, num_pages: int) -> None:
        per_page = config.num_kv_heads * 2 * PAGE_TOKENS * config.head_size
        shape = (config.num_layers, num_pages, per_page)
        self.data = torch.from_numpy(_aligned_zeros(math.prod(shape)).reshape(shape))

    @property
    def num_bytes(self) -> int:
        return self.data.nbytes

    def copy_page(self, source: int, target: int) -> None:
        """All layers of one page over another."""
        self.data[:, target] = self.data[:, source]


class NativeDecoder:
    """Packs a decoder's weights once."""

    def __init__(self, decoder: Decoder, precision: Precision) -> None:
        config = decoder.config
        check_config(config)
        shape = ShapeStruct(
            *(config.width, config.num_layers, config.num_heads, config.num_kv_heads),
            *(config.head_size, config.mlp_width, config.norm_eps),
        )
        self._handle = c_void_p(library().attune_decoder_new(byref(shape)))
        finalize(self, library().attune_decoder_free, self._handle)
        self._kept: list[PackedLinear | Tensor] = []  # the kernels borrow them
        for layer in decoder.layers:
            assert isinstance(layer, DecoderLayer)
            library().attune_decoder_add(self._handle, byref(self._pack(layer, precision)))
        rotation = Rotation(torch.arange(config.max_length)[None], config)
        half = config.head_size // 2
        self._cos = rotation.cos_B1LK[0, 0, :, :half].contiguous()
        self._sin = rotation.sin_B1LK[0, 0, :, :half].contiguous()

    def run(self, step: FlatStep, cache: PagedCache, crew: Crew) -> None:
        """`step.hidden_TD` through all layers, in place; the final norm is the caller's."""
        struct = StepStruct(
            len(step.hidden_TD),
            *(address(a) for a in (step.positions_T, step.table_of_T, step.tables_SN)),
            step.tables_SN.shape[1],
            cache.data.data_ptr(),
            cache.data.stride(0),
            *(self._cos.data_ptr(), self._sin.data_ptr()),
        )
        library().attune_decoder_run(
            self._handle, crew.handle, byref(struct), step.hidden_TD.data_ptr()
        )

    def _pack(self, layer: DecoderLayer, precision: Precision) -> LayerStruct:
        attention, mlp = layer.self_attn, layer.mlp
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        weights = [
            torch.cat([projection.weight for projection in projections]),
            attention.o_proj.weight,
            _interleaved(mlp.gate_proj.weight, mlp.up_proj.weight),
            mlp.down_proj.weight,
        ]
        packed = [PackedLinear(weight, None, precision) for weight in weights]
        norms = [
            norm.weight.detach().float().contiguous()
            for norm in (layer.input_layernorm, layer.post_attention_layernorm)
        ]
        bias = _joined([projection.bias for projection in projections])
        self._kept += [*packed, *norms, *([] if bias is None else [bias])]
        return LayerStruct(
            *(norm.data_ptr() for norm in norms),
            None if bias is None else bias.data_ptr(),
            *(matrix.handle for matrix in packed),
        )


def _aligned_zeros(count: int) -> NDArray[np.float32]:
    """From the start of a cache line on: loads across two lines take twice as long. numpy's zeros
    take no memory until they are touched; torch's do."""
    room = np.zeros(count + _LINE_FLOATS, np.float32)
    start = -(room.ctypes.data // room.itemsize) % _LINE_FLOATS
    return room[start : start + count]


def check_config(config: DecoderConfig) -> None:
    """ValueError for sizes that the kernels do not take."""
    for name in ("width", "head_size", "mlp_width"):
        if getattr(config, name) % 16:
            raise ValueError(f"{name} is {getattr(config, name)}; the kernels take multiples of 16")


def _joined(biases: Sequence[Tensor | None]) -> Tensor | None:
    """Of queries, keys and values; None where the model has none."""
    given = [bias.detach().float() for bias in biases if bias is not None]
    return torch.cat(given).contiguous() if given else None


def _interleaved(gate_MD: Tensor, up_MD: Tensor) -> Tensor:
    """16 rows of gates, then the 16 of values that they let through, and so on."""
    blocks = [weight.view(-1, _GATES, weight.shape[1]) for weight in (gate_MD, up_MD)]
    return torch.stack(blocks, dim=1).flatten(0, 2)
