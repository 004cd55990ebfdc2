"""Media as the encoders read them: stacks of equal units, in order of appearance within each kind.

A picture is tiles, a recording windows of log-mel frames, a clip frames with their times.
Legend: N units, S side, M mels, T frames of a window.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class MediaArrays:
    """uint8 pixels, float32 log-mels, seconds; and how many tokens stand for each window."""

    tiles_NSS3: NDArray[np.uint8]
    mels_NMT: NDArray[np.float32]
    mel_tokens_N: NDArray[np.int64]
    frames_NSS3: NDArray[np.uint8]
    times_N: NDArray[np.float32]

    @classmethod
    def concatenate(cls, media: Sequence["MediaArrays"]) -> "MediaArrays":
        """Of one or more sequences, in their order."""
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(m, name) for m in media]) for name in names))
