"""One way to decode every medium, and the seam behind which services decode in other processes."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.preprocessing.audio import AudioLimits, decode_audio
from models.preprocessing.conversation import Audio, Medium, Picture, Video
from models.preprocessing.images import (
    MediaLimits,
    SquarePadding,
    padded_picture,
    tiles_from_picture,
)
from models.preprocessing.video import VideoFrames, VideoLimits, frames_from_video


class MediaSettings(BaseModel):
    """What media are decoded to, and what each may cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tile_size: int = Field(32, ge=1, description="side of a picture's tile or a frame, pixels")
    sample_rate: int = Field(16_000, ge=1, description="of decoded recordings, per second")
    max_frames: int = Field(8, ge=1, description="frames of a clip that are kept")
    padding: SquarePadding | None = Field(None, description="absent: pictures are cut into tiles")
    picture: MediaLimits = MediaLimits()
    audio: AudioLimits = AudioLimits()
    video: VideoLimits = VideoLimits()


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """uint8 [N, S, S, 3]: tiles of S×S pixels."""

    tiles: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class DecodedAudio:
    """float32 [n] in -1 … 1 at the settings' sample rate."""

    samples: NDArray[np.float32]


Decoded = DecodedPicture | DecodedAudio | VideoFrames


class MediaDecoder(Protocol):
    """Decodes a medium here or elsewhere. Raises MediaError for one that cannot be used."""

    def __call__(self, medium: Medium, settings: MediaSettings) -> Decoded: ...


def decode_medium(medium: Medium, settings: MediaSettings) -> Decoded:
    """Decodes in this process: for media that are trusted, and within a worker."""
    match medium:
        case Picture(data):
            return DecodedPicture(_tiles(data, settings))
        case Audio(data):
            return DecodedAudio(decode_audio(data, settings.sample_rate, settings.audio))
        case Video(data):
            return frames_from_video(data, settings.tile_size, settings.max_frames, settings.video)


def _tiles(data: bytes, settings: MediaSettings) -> NDArray[np.uint8]:
    if settings.padding is None:
        return tiles_from_picture(data, settings.tile_size, settings.picture)
    return padded_picture(data, settings.tile_size, settings.padding, settings.picture)
