"""A short recording and a short clip, whole, as the world encodes them."""

import numpy as np

from models.preprocessing.audio import encode_wav
from services.common.world.media import Clip, encode_gif


def tone(seconds: float = 0.5, hertz: float = 440.0) -> bytes:
    """WAV of a pure tone at 16 kHz."""
    times_T = np.arange(round(seconds * 16_000)) / 16_000
    return encode_wav((0.5 * np.sin(2 * np.pi * hertz * times_T)).astype(np.float32), 16_000)


def moving_square(num_frames: int = 4, frame_ms: int = 200) -> bytes:
    """GIF of 32×32 pixels in which a square goes from left to right."""
    frames_FHW3 = np.full((num_frames, 32, 32, 3), 138, np.uint8)
    for index, frame in enumerate(frames_FHW3):
        left = 1 + index * 22 // max(num_frames - 1, 1)
        frame[12:20, left : left + 8] = (225, 45, 45)
    return encode_gif(Clip(frames_FHW3, frame_ms))
