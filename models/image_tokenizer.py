"""The discrete image tokenizer: a VQ autoencoder with an L2-normalised codebook.

Its two networks are small ones of the project's own, or Janus'. Codes are normalised when encoding
*and* decoding; transformers' Janus omits the first, which changes most codes
(reference/families.md §1). Training: straight-through (van den Oord 2017), with revival of unused
codes.
Legend: N images, S side, C channels, E code width, T codes per image, K codebook size, H×W grid.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import ImageTokenizerConfig, ImageTokenizerSection
from models.families.janus_config import JanusImageTokenizerConfig
from models.families.janus_image_tokenizer import JanusImageDecoder, JanusImageEncoder
from models.residual_block import ResidualBlock


class Codebook(nn.Module):
    """Nearest neighbour on the unit sphere."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, width)

    def unit_KE(self) -> Tensor:
        return F.normalize(self.embedding.weight, dim=-1)

    def nearest(self, unit_NTE: Tensor) -> Tensor:
        """codes_NT of the highest cosine."""
        return (unit_NTE @ self.unit_KE().T).argmax(dim=-1)

    @torch.no_grad()
    def revive(self, is_dead_K: Tensor, unit_ME: Tensor, generator: torch.Generator) -> int:
        """Moves dead codes onto encoder outputs drawn at random; returns how many moved."""
        dead = is_dead_K.nonzero().flatten()
        picks = torch.randint(len(unit_ME), (len(dead),), generator=generator)
        self.embedding.weight[dead] = unit_ME[picks]
        return len(dead)


@dataclass(frozen=True, slots=True)
class VqForward:
    """One training pass: pictures (0..1, not clamped), codes, encoder outputs, codebook losses."""

    images_N3SS: Tensor
    codes_NT: Tensor
    unit_NTE: Tensor
    codebook_loss: Tensor
    commitment_loss: Tensor


class ImageTokenizer(nn.Module):
    """Pictures (float32, 0..1) to codes and back."""

    def __init__(self, config: ImageTokenizerSection) -> None:
        super().__init__()
        self.config = config
        self.encoder = _encoder(config)
        self.quantize = Codebook(config.codebook_size, config.code_width)
        self.decoder = _decoder(config)

    @torch.no_grad()
    def encode(self, images_N3SS: Tensor) -> Tensor:
        """codes_NT, row by row."""
        return self.quantize.nearest(self._unit_NTE(images_N3SS))

    @torch.no_grad()
    def decode(self, codes_NT: Tensor) -> Tensor:
        """images_N3SS within 0..1."""
        return self._pixels(self.quantize.unit_KE()[codes_NT]).clamp(0, 1)

    def forward(self, images_N3SS: Tensor) -> VqForward:
        """Straight-through: the decoder's gradient reaches the encoder past the codebook."""
        unit_NTE = self._unit_NTE(images_N3SS)
        codes_NT = self.quantize.nearest(unit_NTE.detach())
        code_NTE = self.quantize.unit_KE()[codes_NT]
        through_NTE = unit_NTE + (code_NTE - unit_NTE).detach()
        return VqForward(
            images_N3SS=self._pixels(through_NTE),
            codes_NT=codes_NT,
            unit_NTE=unit_NTE.detach(),
            codebook_loss=F.mse_loss(code_NTE, unit_NTE.detach()),
            commitment_loss=F.mse_loss(unit_NTE, code_NTE.detach()),
        )

    def _unit_NTE(self, images_N3SS: Tensor) -> Tensor:
        encoded: Tensor = self.encoder(images_N3SS * 2 - 1)
        return F.normalize(encoded.flatten(2).transpose(1, 2), dim=-1)

    def _pixels(self, code_NTE: Tensor) -> Tensor:
        grid = self.config.grid
        code_NEHW = code_NTE.transpose(1, 2).reshape(len(code_NTE), -1, grid, grid)
        pixels: Tensor = self.decoder(code_NEHW)
        return (pixels + 1) / 2


def _encoder(config: ImageTokenizerSection) -> nn.Module:
    if isinstance(config, JanusImageTokenizerConfig):
        return JanusImageEncoder(config)
    return _own_encoder(config)


def _decoder(config: ImageTokenizerSection) -> nn.Module:
    if isinstance(config, JanusImageTokenizerConfig):
        return JanusImageDecoder(config)
    return _own_decoder(config)


def _own_encoder(config: ImageTokenizerConfig) -> nn.Sequential:
    channels, groups, num_blocks = config.channels, config.norm_groups, config.blocks_per_level
    layers: list[nn.Module] = [nn.Conv2d(3, channels[0], 3, padding=1)]
    for level, width in enumerate(channels):
        if level:
            layers.append(nn.Conv2d(channels[level - 1], width, 3, stride=2, padding=1))
        layers += [ResidualBlock(width, width, groups) for _ in range(num_blocks)]
    layers += [nn.GroupNorm(groups, channels[-1], eps=1e-6), nn.SiLU()]
    return nn.Sequential(*layers, nn.Conv2d(channels[-1], config.code_width, 1))


def _own_decoder(config: ImageTokenizerConfig) -> nn.Sequential:
    channels, groups, num_blocks = config.channels, config.norm_groups, config.blocks_per_level
    layers: list[nn.Module] = [nn.Conv2d(config.code_width, channels[-1], 3, padding=1)]
    for level in reversed(range(len(channels))):
        width = channels[level]
        layers += [ResidualBlock(width, width, groups) for _ in range(num_blocks)]
        if level:
            layers.append(nn.Upsample(scale_factor=2, mode="nearest"))
            layers.append(nn.Conv2d(width, channels[level - 1], 3, padding=1))
    layers += [nn.GroupNorm(groups, channels[0], eps=1e-6), nn.SiLU()]
    return nn.Sequential(*layers, nn.Conv2d(channels[0], 3, 3, padding=1))
