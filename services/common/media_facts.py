"""How long a recording is and how many frames a clip has, as far as their headers tell cheaply."""

import io
import wave

from PIL import Image


def recording_seconds(data: bytes) -> float | None:
    """Of a WAV by its header; None for other formats, and where less is there than it promises."""
    try:
        with wave.open(io.BytesIO(data)) as recording:
            num_frames: int = recording.getnframes()
            num_bytes = num_frames * recording.getsampwidth() * recording.getnchannels()
            return num_frames / recording.getframerate() if num_bytes < len(data) else None
    except (wave.Error, EOFError, ZeroDivisionError):
        return None


def clip_frames(data: bytes) -> int | None:
    """Of a GIF; None for other formats and for what is no clip."""
    try:
        with Image.open(io.BytesIO(data), formats=["GIF"]) as clip:
            num_frames: int = getattr(clip, "n_frames", 1)
            return num_frames
    except (OSError, SyntaxError, ValueError):
        return None
