"""Media as tensors, and which features stay. Legend: N units, P features of a unit, D width."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.preprocessing.media_arrays import MediaArrays


@dataclass(frozen=True, slots=True, eq=False)
class MediaTensors:
    """As `MediaArrays`, pixels as float32 [N, 3, S, S] in 0..1."""

    tiles_N3SS: Tensor
    mels_NMT: Tensor
    mel_tokens_N: Tensor
    frames_N3SS: Tensor
    times_N: Tensor

    def to(self, device: torch.device) -> Self:
        """On another device."""
        return type(self)(*(getattr(self, field.name).to(device) for field in fields(self)))

    @classmethod
    def from_arrays(cls, arrays: MediaArrays) -> Self:
        return cls(
            _pixels(arrays.tiles_NSS3),
            torch.from_numpy(arrays.mels_NMT),
            torch.from_numpy(arrays.mel_tokens_N),
            _pixels(arrays.frames_NSS3),
            torch.from_numpy(arrays.times_N),
        )


def first_features(features_NPD: Tensor, kept_N: Tensor) -> Tensor:
    """features_FD: the first `kept_N` of each unit."""
    is_kept_NP = torch.arange(features_NPD.shape[1], device=kept_N.device) < kept_N[:, None]
    return features_NPD[is_kept_NP]


def _pixels(pixels_NSS3: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pixels_NSS3).permute(0, 3, 1, 2).contiguous().float() / 255
