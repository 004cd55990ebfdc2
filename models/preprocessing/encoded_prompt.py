"""A conversation as a model reads it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.preprocessing.media_arrays import MediaArrays


class PromptError(ValueError):
    """A conversation that cannot be encoded."""


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """What the model reads: int64 [L], the media, and one digest per medium in order."""

    token_ids: NDArray[np.int64]
    media: MediaArrays
    media_sha256: tuple[str, ...]
