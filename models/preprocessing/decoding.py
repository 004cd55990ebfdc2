"""TEMPORARY: replaced by the media branch."""

import io
import wave
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict

from models.preprocessing.conversation import Audio, Medium, Picture
from models.preprocessing.images import MediaLimits, tiles_from_picture


class MediaSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    tile_size: int = 32
    max_tiles: int = 4
    sample_rate: int = 16_000
    max_frames: int = 8
    max_picture_bytes: int = 8 * 2**20
    max_picture_pixels: int = 16 * 2**20


@dataclass(frozen=True)
class DecodedPicture:
    tiles: NDArray[np.uint8]


@dataclass(frozen=True)
class DecodedAudio:
    samples: NDArray[np.float32]


@dataclass(frozen=True)
class DecodedVideo:
    frames: NDArray[np.uint8]
    times_s: NDArray[np.float32]


Decoded = DecodedPicture | DecodedAudio | DecodedVideo
MediaDecoder = Callable[[Medium, MediaSettings], Decoded]


def decode_medium(medium: Medium, settings: MediaSettings) -> Decoded:
    if isinstance(medium, Picture):
        limits = MediaLimits(
            settings.max_picture_bytes, settings.max_picture_pixels, settings.max_tiles
        )
        return DecodedPicture(tiles_from_picture(medium.data, settings.tile_size, limits))
    if isinstance(medium, Audio):
        with wave.open(io.BytesIO(medium.data)) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        return DecodedAudio((samples / 32768).astype(np.float32))
    with Image.open(io.BytesIO(medium.data)) as image:
        frames, times, now = [], [], 0.0
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            frames.append(np.asarray(image.convert("RGB"), np.uint8))
            times.append(now)
            now += image.info.get("duration", 100) / 1000
    keep = np.linspace(0, len(frames) - 1, min(len(frames), settings.max_frames)).round()
    index = keep.astype(int)
    return DecodedVideo(np.stack(frames)[index], np.asarray(times, np.float32)[index])
