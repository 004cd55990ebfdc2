"""The networks of Janus' image tokenizer: VQGAN's encoder and decoder (Esser et al. 2021).

models/image_tokenizer.py puts its codebook between them where `vq.family` says janus.
Legend: N images, S side, C channels, E code width, H×W grid, T places of the grid.
"""

import itertools

import torch.nn.functional as F
from torch import Tensor, nn

from models.families.janus_config import JanusImageTokenizerConfig
from models.residual_block import ResidualBlock


class JanusImageEncoder(nn.Module):
    """Pictures (-1..1) to one vector per place of the grid."""

    def __init__(self, config: JanusImageTokenizerConfig) -> None:
        super().__init__()
        widths, groups = config.channels, config.norm_groups
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.down = nn.ModuleList()
        for index, (before, after) in enumerate(itertools.pairwise((widths[0], *widths))):
            is_last = index == len(widths) - 1
            level = _Level(before, after, config.blocks_per_level, groups, has_attention=is_last)
            level.resample = nn.Identity() if is_last else _Downsample(after)
            self.down.append(level)
        self.mid = _Middle(widths[-1], groups)
        self.norm_out = nn.GroupNorm(groups, widths[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(widths[-1], config.latent_channels, 3, padding=1)
        self.quant_conv = nn.Conv2d(config.latent_channels, config.code_width, 1)

    def forward(self, images_N3SS: Tensor) -> Tensor:
        hidden = self.conv_in(images_N3SS)
        for level in self.down:
            hidden = level(hidden)
        hidden = self.conv_out(F.silu(self.norm_out(self.mid(hidden))))
        encoded_NEHW: Tensor = self.quant_conv(hidden)
        return encoded_NEHW


class JanusImageDecoder(nn.Module):
    """One code vector per place of the grid to pictures (-1..1)."""

    def __init__(self, config: JanusImageTokenizerConfig) -> None:
        super().__init__()
        widths, groups = config.channels[::-1], config.norm_groups
        self.post_quant_conv = nn.Conv2d(config.code_width, config.latent_channels, 1)
        self.conv_in = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.mid = _Middle(widths[0], groups)
        self.up = nn.ModuleList()
        for index, (before, after) in enumerate(itertools.pairwise((widths[0], *widths))):
            num_blocks = config.blocks_per_level + 1
            level = _Level(before, after, num_blocks, groups, has_attention=index == 0)
            level.resample = nn.Identity() if index == len(widths) - 1 else _Upsample(after)
            self.up.append(level)
        self.norm_out = nn.GroupNorm(groups, widths[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, code_NEHW: Tensor) -> Tensor:
        hidden = self.mid(self.conv_in(self.post_quant_conv(code_NEHW)))
        for level in self.up:
            hidden = level(hidden)
        images_N3SS: Tensor = self.conv_out(F.silu(self.norm_out(hidden)))
        return images_N3SS


class _Level(nn.Module):
    """Residual blocks of one resolution, attention after each at the lowest, and the way on."""

    resample: nn.Module

    def __init__(
        self, before: int, after: int, num_blocks: int, groups: int, has_attention: bool
    ) -> None:
        super().__init__()
        self.block = nn.ModuleList(
            ResidualBlock(after if index else before, after, groups) for index in range(num_blocks)
        )
        self.attn = nn.ModuleList(
            _Attention(after, groups) if has_attention else nn.Identity() for _ in self.block
        )

    def forward(self, hidden_NCSS: Tensor) -> Tensor:
        for block, attention in zip(self.block, self.attn, strict=True):
            hidden_NCSS = attention(block(hidden_NCSS))
        out: Tensor = self.resample(hidden_NCSS)
        return out


class _Middle(nn.Module):
    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(channels, channels, groups)
        self.attn_1 = _Attention(channels, groups)
        self.block_2 = ResidualBlock(channels, channels, groups)

    def forward(self, hidden_NCSS: Tensor) -> Tensor:
        out: Tensor = self.block_2(self.attn_1(self.block_1(hidden_NCSS)))
        return out


class _Attention(nn.Module):
    """One head over all places of the grid."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, hidden_NCSS: Tensor) -> Tensor:
        normed_NCSS = self.norm(hidden_NCSS)
        query_NTC, key_NTC, value_NTC = (
            projection(normed_NCSS).flatten(2).transpose(1, 2)
            for projection in (self.q, self.k, self.v)
        )
        mixed_NTC = F.scaled_dot_product_attention(query_NTC, key_NTC, value_NTC)
        mixed_NCSS = mixed_NTC.transpose(1, 2).reshape(hidden_NCSS.shape)
        out: Tensor = hidden_NCSS + self.proj_out(mixed_NCSS)
        return out


class _Downsample(nn.Module):
    """Halves the side; padded on the right and below only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, hidden_NCSS: Tensor) -> Tensor:
        out: Tensor = self.conv(F.pad(hidden_NCSS, (0, 1, 0, 1)))
        return out


class _Upsample(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, hidden_NCSS: Tensor) -> Tensor:
        out: Tensor = self.conv(F.interpolate(hidden_NCSS, scale_factor=2.0, mode="nearest"))
        return out
