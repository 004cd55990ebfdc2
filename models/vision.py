"""The vision encoder: a convolution stem and a small ViT, one square tile at a time.

The stem (two strided convolutions instead of one patch projection) is what let location tasks
learn within minutes (docs/decisions.md). Names follow Janus' SigLIP tower.
Legend: N tiles, S tile side, P patches, D width.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import VisionConfig
from models.encoder import EncoderLayer


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


class VisionModel(nn.Module):
    """Tiles (0..1) to one vector per patch, row by row."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.stem = Stem(config)
        self.position_embedding = nn.Parameter(torch.zeros(config.patches_per_tile, config.width))
        self.layers = nn.ModuleList(
            EncoderLayer(config.width, config.num_heads, config.mlp_width, config.norm_eps)
            for _ in range(config.num_layers)
        )
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
