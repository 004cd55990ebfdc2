"""Sound, clips and pictures of the world, and how they are encoded: WAV, GIF and PNG, all exactly.

Legend: T samples of sound, F frames, H height, W width, C colors.
"""

import io
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.preprocessing.audio import encode_wav
from models.preprocessing.conversation import Audio, Part, Picture, Text, Video
from models.preprocessing.images import encode_png
from services.common.world.speech.synthesizer import SAMPLE_RATE_HZ, speak
from services.common.world.speech.voices import Voice

_MAX_COLORS = 128  # half of what a GIF can have, see encode_gif


@dataclass(frozen=True, eq=False)
class Speech:
    """Words in a voice, synthesised when first heard."""

    words: str
    voice: Voice
    seed: int

    @cached_property
    def samples_T(self) -> NDArray[np.float32]:
        """Mono at 16 kHz, -1 to 1."""
        return speak(self.words, self.voice, np.random.default_rng(self.seed))


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """uint8 [F, H, W, 3], each frame shown for `frame_ms`, a multiple of 10 as GIF has it."""

    frames_FHW3: NDArray[np.uint8]
    frame_ms: int


Content = str | NDArray[np.uint8] | Speech | Clip


def encoded(content: Content) -> Part:
    """The part of a conversation that holds it; pixels are [H, W, 3]."""
    match content:
        case str():
            return Text(content)
        case Speech():
            return Audio(encode_wav(content.samples_T, SAMPLE_RATE_HZ))
        case Clip():
            return Video(encode_gif(content))
        case _:
            return Picture(encode_png(content))


def encode_gif(clip: Clip) -> bytes:
    """GIF of a clip of at most 128 colors: its pixels, number of frames and durations are kept."""
    packed_FHW = clip.frames_FHW3.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colors_C, indices = np.unique(packed_FHW, return_inverse=True)
    num_colors = len(colors_C)
    if num_colors > _MAX_COLORS:
        raise ValueError(f"the clip has {num_colors} colors; at most {_MAX_COLORS} are allowed")
    indices_FHW = indices.reshape(packed_FHW.shape).astype(np.uint8)
    # Pillow joins equal frames to a longer one. So each color is there twice, and one pixel of
    # every other frame has the second of its color, by which the frames differ.
    indices_FHW[1::2, 0, 0] += num_colors
    palette = b"".join(int(color).to_bytes(3, "big") for color in colors_C) * 2
    images = [Image.fromarray(frame_HW, mode="P") for frame_HW in indices_FHW]
    for image in images:
        image.putpalette(palette)
    buffer = io.BytesIO()
    images[0].save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=images[1:],
        duration=clip.frame_ms,
        loop=0,
        optimize=False,
    )
    return buffer.getvalue()
