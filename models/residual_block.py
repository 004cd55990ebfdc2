"""The residual block of the image tokenizers. Legend: N images, C channels, S side."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Two convolutions; a third, of one pixel, carries the input over where widths differ."""

    def __init__(self, before: int, after: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, before, eps=1e-6)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, after, eps=1e-6)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Identity() if before == after else nn.Conv2d(before, after, 1)

    def forward(self, hidden_NCSS: Tensor) -> Tensor:
        inner = self.conv1(F.silu(self.norm1(hidden_NCSS)))
        inner = self.conv2(F.silu(self.norm2(inner)))
        return torch.add(self.shortcut(hidden_NCSS), inner)
