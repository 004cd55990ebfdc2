"""Prompts whose cost is measured: text alone, and with media of each kind, new ones each time."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.random import Generator

from models.preprocessing.audio import encode_wav
from models.preprocessing.conversation import Audio, Medium, Picture, Video
from models.preprocessing.images import encode_png
from protos.v1 import media_pb2
from services.common.world.media import Clip, encode_gif

_SAMPLE_RATE = 16_000
_FRAMES, _FRAME_MS = 8, 250


@dataclass(frozen=True, slots=True)
class Case:
    """A name, and how to make one more medium of the kind; None sends text alone."""

    name: str
    modality: "media_pb2.Modality.ValueType"
    make: Callable[[Generator], Medium] | None = None


def media_cases(
    audio_seconds: Sequence[float], taken: Collection["media_pb2.Modality.ValueType"]
) -> list[Case]:
    """Text, a picture, recordings of these lengths, a clip of two seconds: what a model takes."""
    recordings = [
        Case(f"recording, {s:g} s", media_pb2.MODALITY_AUDIO, partial(_recording, seconds=s))
        for s in audio_seconds
    ]
    cases = [
        Case("text", media_pb2.MODALITY_TEXT),
        Case("picture", media_pb2.MODALITY_IMAGE, _picture),
        *recordings,
        Case(f"clip, {_FRAMES * _FRAME_MS / 1000:g} s", media_pb2.MODALITY_VIDEO, _clip),
    ]
    return [case for case in cases if case.modality in taken]


def _recording(rng: Generator, seconds: float) -> Audio:
    """Noise that nobody has sent before."""
    samples = rng.normal(scale=0.1, size=round(seconds * _SAMPLE_RATE)).clip(-1, 1)
    return Audio(encode_wav(samples.astype(np.float32), _SAMPLE_RATE))


def _picture(rng: Generator) -> Picture:
    return Picture(encode_png(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)))


def _clip(rng: Generator) -> Video:
    greys = rng.integers(0, 8, (_FRAMES, 32, 32, 1), dtype=np.uint8) * 32  # a GIF has few colours
    return Video(encode_gif(Clip(greys.repeat(3, axis=3), _FRAME_MS)))
