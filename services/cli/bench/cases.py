"""Prompts whose cost is measured: text alone, and with media of each kind, new ones each time."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from models.preprocessing.audio import encode_wav
from models.preprocessing.conversation import Audio, Medium, Picture, Video
from models.preprocessing.images import encode_png
from services.common.world.media import Clip, encode_gif

_SAMPLE_RATE = 16_000
_FRAMES, _FRAME_MS = 8, 250


@dataclass(frozen=True, slots=True)
class Case:
    """A name, and how to make one more medium of the kind; None sends text alone."""

    name: str
    make: Callable[[Generator], Medium] | None = None


def media_cases(audio_seconds: tuple[float, ...]) -> list[Case]:
    """Text, a picture, recordings of these lengths, a clip of two seconds."""
    recordings = [
        Case(f"recording, {seconds:g} s", lambda rng, s=seconds: recording(rng, s))  # type: ignore[misc]
        for seconds in audio_seconds
    ]
    return [
        Case("text"),
        Case("picture", _picture),
        *recordings,
        Case(f"clip, {_FRAMES * _FRAME_MS / 1000:g} s", _clip),
    ]


def recording(rng: Generator, seconds: float) -> Audio:
    """Noise that nobody has sent before."""
    samples = rng.normal(scale=0.1, size=round(seconds * _SAMPLE_RATE)).clip(-1, 1)
    return Audio(encode_wav(samples.astype(np.float32), _SAMPLE_RATE))


def _picture(rng: Generator) -> Picture:
    return Picture(encode_png(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)))


def _clip(rng: Generator) -> Video:
    frames = rng.integers(0, 8, (_FRAMES, 32, 32, 3), dtype=np.uint8) * 32
    frames[:, :, 1:] = frames[:, :, :1]  # few colours: a GIF holds 256
    return Video(encode_gif(Clip(frames, _FRAME_MS)))
