"""Small recordings, whole and hostile."""

import io
import struct

import numpy as np
import soundfile
from numpy.typing import NDArray

from models.preprocessing.audio import encode_wav

SAMPLE_RATE = 16_000
ENCODINGS = {
    "WAV": "PCM_16",
    "FLAC": "PCM_16",
    "MP3": "MPEG_LAYER_III",
    "OGG": "VORBIS",
}


def sine(seconds: float = 1.0, hertz: float = 440.0, rate: int = SAMPLE_RATE) -> NDArray:
    """float32 [n], amplitude 0.5."""
    times_s = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * times_s)).astype(np.float32)


def encoded(
    samples: NDArray, kind: str = "WAV", rate: int = SAMPLE_RATE, encoding: str | None = None
) -> bytes:
    """The samples ([n] or [n, channels]) as a file of that kind."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=encoding or ENCODINGS[kind])
    return file.getvalue()


def wav_with(data_size: int | None = None, riff_size: int | None = None, **fields: int) -> bytes:
    """A WAV of one second whose header states other sizes, `channels` or `rate`."""
    wav = bytearray(encode_wav(sine(), SAMPLE_RATE))
    for offset, form, value in (
        (4, "<I", riff_size),
        (22, "<H", fields.get("channels")),
        (24, "<I", fields.get("rate")),
        (40, "<I", data_size),
    ):
        if value is not None:
            struct.pack_into(form, wav, offset, value)
    return bytes(wav)
