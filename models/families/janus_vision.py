"""Janus' vision encoder: the tower of SigLIP (Zhai et al. 2023), one square tile per picture.

Chosen by `vision.family` of an OmniConfig. Legend: N tiles, S tile side, P patches, D width.
"""

import torch
from torch import Tensor, nn

from models.encoder import EncoderLayer
from models.families.janus_config import JanusVisionConfig


class JanusVisionModel(nn.Module):
    """Tiles (0..1) to one vector per patch, row by row."""

    def __init__(self, config: JanusVisionConfig) -> None:
        super().__init__()
        size = config.patch_size
        self.patch_embedding = nn.Conv2d(3, config.width, size, stride=size)
        self.position_embedding = nn.Parameter(torch.zeros(config.patches_per_tile, config.width))
        self.layers = nn.ModuleList(
            EncoderLayer(config.width, config.num_heads, config.mlp_width, config.norm_eps)
            for _ in range(config.num_layers)
        )
        self.post_layernorm = nn.LayerNorm(config.width, eps=config.norm_eps)
        for name, colour in (("mean", config.pixel_mean), ("std", config.pixel_std)):
            self.register_buffer(name, torch.tensor(colour)[:, None, None], persistent=False)

    def init_scales(self, generator: torch.Generator) -> None:
        """Positions of a fresh tower (see `VisionModel.init_scales`)."""
        nn.init.normal_(self.position_embedding, std=0.1, generator=generator)

    def forward(self, tiles_N3SS: Tensor) -> Tensor:
        normal_N3SS = (tiles_N3SS - self.get_buffer("mean")) / self.get_buffer("std")
        patches_NPD = self.patch_embedding(normal_N3SS).flatten(2).transpose(1, 2)
        hidden_NPD = patches_NPD + self.position_embedding
        for layer in self.layers:
            hidden_NPD = layer(hidden_NPD)
        normed_NPD: Tensor = self.post_layernorm(hidden_NPD)
        return normed_NPD
