"""The vision encoder: a convolution stem and a small ViT, one square tile at a time.

The stem (two strided convolutions instead of one patch projection) is what let location tasks
learn within minutes (docs/decisions.md). Names follow Janus' SigLIP tower.
Legend: N tiles, S tile side, P patches, D width, H heads, K head size.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import VisionConfig


class Stem(nn.Module):
    """Halves the side `stem_strides` times, then projects to the width."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        widths = [3] + [config.stem_width * 2**i for i in range(config.stem_strides)]
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1)
            for before, after in itertools.pairwise(widths)
        )
        self.proj = nn.Conv2d(widths[-1], config.width, 3, padding=1)

    def forward(self, tiles_N3SS: Tensor) -> Tensor:
        hidden = tiles_N3SS
        for conv in self.convs:
            hidden = F.gelu(conv(hidden))
        patches_NPD: Tensor = self.proj(hidden).flatten(2).transpose(1, 2)
        return patches_NPD


class VisionAttention(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.q_proj = nn.Linear(config.width, config.width)
        self.k_proj = nn.Linear(config.width, config.width)
        self.v_proj = nn.Linear(config.width, config.width)
        self.projection_layer = nn.Linear(config.width, config.width)

    def forward(self, hidden_NPD: Tensor) -> Tensor:
        query, key, value = (
            proj(hidden_NPD).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed_NHPK = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.projection_layer(mixed_NHPK.transpose(1, 2).flatten(2))
        return out


class VisionMLP(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.width, config.mlp_width)
        self.fc2 = nn.Linear(config.mlp_width, config.width)

    def forward(self, hidden_NPD: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(hidden_NPD)))
        return out


class VisionLayer(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.self_attn = VisionAttention(config)
        self.layer_norm2 = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.mlp = VisionMLP(config)

    def forward(self, hidden_NPD: Tensor) -> Tensor:
        hidden_NPD = hidden_NPD + self.self_attn(self.layer_norm1(hidden_NPD))
        mlp_NPD: Tensor = self.mlp(self.layer_norm2(hidden_NPD))
        return hidden_NPD + mlp_NPD


class VisionModel(nn.Module):
    """Tiles (0..1) to one vector per patch, row by row."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.stem = Stem(config)
        self.position_embedding = nn.Parameter(torch.zeros(config.patches_per_tile, config.width))
        self.layers = nn.ModuleList(VisionLayer(config) for _ in range(config.num_layers))
        self.post_layernorm = nn.LayerNorm(config.width, eps=config.norm_eps)

    def init_scales(self, generator: torch.Generator) -> None:
        """Lets what a patch shows outweigh where it is (after fan-in initialisation).

        Pixels near the middle and GELU make the stem's output small: left so, it is 0.15 of a
        position embedding of std 0.5, and a VQA probe stands at 0.61 nats where this one has 0.49.
        """
        nn.init.normal_(self.position_embedding, std=0.1, generator=generator)
        with torch.no_grad():
            for parameter in self.stem.convs.parameters():
                parameter.mul_(3)

    def forward(self, tiles_N3SS: Tensor) -> Tensor:
        hidden_NPD = self.stem(tiles_N3SS * 2 - 1) + self.position_embedding
        for layer in self.layers:
            hidden_NPD = layer(hidden_NPD)
        normed_NPD: Tensor = self.post_layernorm(hidden_NPD)
        return normed_NPD


class Aligner(nn.Module):
    """Two-layer projector into the decoder's width (Janus: `fc1`, `hidden_layers.0`)."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width_in, width_out)
        self.hidden_layers = nn.ModuleList([nn.Linear(width_out, width_out)])

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.hidden_layers[0](F.gelu(self.fc1(features)))
        return out
