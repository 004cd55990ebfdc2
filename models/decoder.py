"""The language model: RMSNorm, RoPE, grouped-query attention, SwiGLU. Names follow Janus/Llama.

It is told how to attend by its caller (models/attention.py), so training and serving share it.
Legend: B batch, L length, D width, H query heads, J key-value heads, K head size, h half of K,
M MLP width.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import Attention
from models.config import DecoderConfig, LinearRope, Llama3Rope


class RMSNorm(nn.Module):
    """Zhang & Sennrich 2019."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, hidden: Tensor) -> Tensor:
        return F.rms_norm(hidden, self.weight.shape, self.weight, self.eps)


class SelfAttention(nn.Module):
    """Projections and rotation; the mixing itself is the caller's."""

    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.head_size = config.head_size
        query_width = config.num_heads * config.head_size
        kv_width = config.num_kv_heads * config.head_size
        self.q_proj = nn.Linear(config.width, query_width, bias=config.qkv_bias)
        self.k_proj = nn.Linear(config.width, kv_width, bias=config.qkv_bias)
        self.v_proj = nn.Linear(config.width, kv_width, bias=config.qkv_bias)
        self.o_proj = nn.Linear(query_width, config.width, bias=False)

    def forward(self, hidden_BLD: Tensor, rotation: "Rotation", attention: Attention) -> Tensor:
        query_BHLK = rotation.apply(self._heads(self.q_proj(hidden_BLD)))
        key_BJLK = rotation.apply(self._heads(self.k_proj(hidden_BLD)))
        value_BJLK = self._heads(self.v_proj(hidden_BLD))
        mixed_BHLK = attention(self.layer, query_BHLK, key_BJLK, value_BJLK)
        mixed: Tensor = self.o_proj(mixed_BHLK.transpose(1, 2).flatten(2))
        return mixed

    def _heads(self, packed: Tensor) -> Tensor:
        batch, length, _ = packed.shape
        return packed.view(batch, length, -1, self.head_size).transpose(1, 2)


class MLP(nn.Module):
    """SwiGLU (Shazeer 2020)."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.mlp_width, bias=False)
        self.up_proj = nn.Linear(config.width, config.mlp_width, bias=False)
        self.down_proj = nn.Linear(config.mlp_width, config.width, bias=False)

    def forward(self, hidden_BLD: Tensor) -> Tensor:
        gated_BLM = F.silu(self.gate_proj(hidden_BLD)) * self.up_proj(hidden_BLD)
        out: Tensor = self.down_proj(gated_BLM)
        return out


class DecoderLayer(nn.Module):
    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.width, config.norm_eps)
        self.self_attn = SelfAttention(config, layer)
        self.post_attention_layernorm = RMSNorm(config.width, config.norm_eps)
        self.mlp = MLP(config)

    def forward(self, hidden_BLD: Tensor, rotation: "Rotation", attention: Attention) -> Tensor:
        hidden_BLD = hidden_BLD + self.self_attn(
            self.input_layernorm(hidden_BLD), rotation, attention
        )
        mlp_BLD: Tensor = self.mlp(self.post_attention_layernorm(hidden_BLD))
        return hidden_BLD + mlp_BLD


class Decoder(nn.Module):
    """Embeddings of text ids, the layers, and the final norm."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.width)
        self.layers = nn.ModuleList(DecoderLayer(config, i) for i in range(config.num_layers))
        self.norm = RMSNorm(config.width, config.norm_eps)

    def forward(self, hidden_BLD: Tensor, positions_BL: Tensor, attention: Attention) -> Tensor:
        rotation = Rotation(positions_BL, self.config)
        for layer in self.layers:
            hidden_BLD = layer(hidden_BLD, rotation, attention)
        normed_BLD: Tensor = self.norm(hidden_BLD)
        return normed_BLD


class Rotation:
    """RoPE (Su et al. 2021), rotate-half form, of the given positions; shared by all layers."""

    def __init__(self, positions_BL: Tensor, config: DecoderConfig) -> None:
        exponents_h = torch.arange(0, config.head_size, 2, device=positions_BL.device)
        frequencies_h = config.rope_theta ** (-exponents_h.float() / config.head_size)
        angles_BLh = positions_BL.float()[..., None] * _scaled(frequencies_h, config.rope_scaling)
        angles_B1LK = torch.cat([angles_BLh, angles_BLh], dim=-1)[:, None]
        self.cos_B1LK = angles_B1LK.cos()
        self.sin_B1LK = angles_B1LK.sin()

    def apply(self, heads_BHLK: Tensor) -> Tensor:
        first, second = heads_BHLK.chunk(2, dim=-1)
        rotated_BHLK = torch.cat([-second, first], dim=-1)
        return heads_BHLK * self.cos_B1LK + rotated_BHLK * self.sin_B1LK


def _scaled(frequencies_h: Tensor, scaling: LinearRope | Llama3Rope | None) -> Tensor:
    """Radians per position, for sequences longer than those of the pretraining."""
    match scaling:
        case None:
            return frequencies_h
        case LinearRope():
            return frequencies_h / scaling.factor
        case Llama3Rope():
            turns_h = frequencies_h * scaling.original_length / (2 * math.pi)
            ramp_h = turns_h - scaling.low_freq_factor
            kept_h = (ramp_h / (scaling.high_freq_factor - scaling.low_freq_factor)).clamp(0, 1)
            return frequencies_h * (kept_h + (1 - kept_h) / scaling.factor)
