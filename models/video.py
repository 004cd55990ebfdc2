"""Video: frames through the vision encoder, squares of patches merged, each told its time.

Legend: N frames, P patches, Q tokens of a frame, D width, C time width.
"""

import math

import torch
from torch import Tensor, nn

from models.config import VideoConfig, VisionSection
from models.encoder import Aligner

_LONGEST_PERIOD_S = 64.0


class VideoAligner(nn.Module):
    """Patches of frames, and their times in seconds, into the decoder's width."""

    def __init__(self, vision: VisionSection, video: VideoConfig, decoder_width: int) -> None:
        super().__init__()
        width = vision.width
        self.grid, self.merge = vision.grid, video.merge
        self.merger = nn.Linear(width * video.merge**2, width)
        self.time_proj = nn.Linear(video.time_width, width)
        self.aligner = Aligner(width, decoder_width)
        periods = torch.logspace(0, math.log10(_LONGEST_PERIOD_S), video.time_width // 2)
        self.register_buffer("time_rates", 2 * math.pi / periods, persistent=False)

    def forward(self, patches_NPD: Tensor, times_N: Tensor) -> Tensor:
        merged_NQD = self.merger(self._squares(patches_NPD))
        features_NQD: Tensor = self.aligner(merged_NQD + self._times(times_N)[:, None])
        return features_NQD

    def _squares(self, patches_NPD: Tensor) -> Tensor:
        """Neighbours side by side in the last axis, square by square in reading order."""
        side, merge, width = self.grid // self.merge, self.merge, patches_NPD.shape[2]
        split = patches_NPD.view(-1, side, merge, side, merge, width)
        return split.transpose(2, 3).reshape(-1, side * side, merge * merge * width)

    def _times(self, times_N: Tensor) -> Tensor:
        rates = self.get_buffer("time_rates")
        angles_NC = times_N[:, None] * rates
        projected: Tensor = self.time_proj(torch.cat([angles_NC.sin(), angles_NC.cos()], dim=1))
        return projected
