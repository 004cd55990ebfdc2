"""The decoder's layers with fused kernels; models/decoder.py is the definition.

A layer is four products and five kernels: norm, rotation and caching, attention, norm, SwiGLU.
Legend: T tokens, W tokens whose state is wanted, D width, H heads, K head size, A heads of queries,
keys and values (with K: each by itself, else all numbers of all), M MLP width.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.decoder import Decoder, DecoderLayer
from services.policy.engine.cuda.decode_attention import attend_rows
from services.policy.engine.cuda.residual_norm import add_rms_norm
from services.policy.engine.cuda.rotation import angles_of, rotate_and_store
from services.policy.engine.cuda.swiglu import swiglu
from services.policy.engine.executor import FlatStep
from services.policy.engine.paged_attention import PagedAttention, StepPlan, plan_step
from services.policy.engine.torch_cache import TorchCache


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    input_norm_D: Tensor
    qkv_AD: Tensor
    qkv_bias_A: Tensor | None
    output_DA: Tensor
    post_norm_D: Tensor
    gate_up_2MD: Tensor
    down_DM: Tensor


class FusedDecoder:
    """Packs a decoder's weights once. See torch_executor.FlatDecoder."""

    def __init__(self, decoder: Decoder, device: torch.device, dtype: torch.dtype) -> None:
        self.config, self.device, self.dtype = decoder.config, device, dtype
        self._layers = [self._pack(layer) for layer in decoder.layers]
        self._norm_D = self._packed(decoder.norm.weight)
        self._angles = angles_of(decoder.config, device)

    def run(self, step: FlatStep, cache: TorchCache) -> Tensor:
        """hidden_WD after the final norm."""
        normed_TD = self.forward(step.hidden_TD, plan_step(step, self.device), cache)
        return step.wanted(normed_TD)

    def forward(self, hidden_TD: Tensor, plan: StepPlan, cache: TorchCache) -> Tensor:
        """normed_TD. `hidden_TD` is used up."""
        config, attention = self.config, PagedAttention(cache, plan, attend_rows)
        update_TD = None
        for index, layer in enumerate(self._layers):
            normed_TD = add_rms_norm(hidden_TD, update_TD, layer.input_norm_D, config.norm_eps)
            qkv_TA = F.linear(normed_TD, layer.qkv_AD, layer.qkv_bias_A)
            qkv_TAK = qkv_TA.view(len(qkv_TA), -1, config.head_size)
            query_THK = rotate_and_store(qkv_TAK, self._angles, plan, *cache.layer(index))
            mixed_THK = attention.mix(index, query_THK)
            update_TD = F.linear(mixed_THK.flatten(1), layer.output_DA)
            normed_TD = add_rms_norm(hidden_TD, update_TD, layer.post_norm_D, config.norm_eps)
            gated_TM = swiglu(F.linear(normed_TD, layer.gate_up_2MD))
            update_TD = F.linear(gated_TM, layer.down_DM)
        return add_rms_norm(hidden_TD, update_TD, self._norm_D, config.norm_eps)

    def _pack(self, layer: torch.nn.Module) -> _Layer:
        assert isinstance(layer, DecoderLayer)
        attention, mlp = layer.self_attn, layer.mlp
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        biases = [projection.bias for projection in projections if projection.bias is not None]
        return _Layer(
            self._packed(layer.input_layernorm.weight),
            self._packed(*(projection.weight for projection in projections)),
            self._packed(*biases) if biases else None,
            self._packed(attention.o_proj.weight),
            self._packed(layer.post_attention_layernorm.weight),
            self._packed(mlp.gate_proj.weight, mlp.up_proj.weight),
            self._packed(mlp.down_proj.weight),
        )

    def _packed(self, *weights: Tensor) -> Tensor:
        return torch.cat([weight.detach() for weight in weights]).to(self.device, self.dtype)
