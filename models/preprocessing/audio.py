"""Encoded recordings to one channel at one sample rate, by libsndfile and soxr, and back to WAV.

Limits are checked on the header before anything is decoded, and on the samples where it lies.
"""

import io
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from models.preprocessing.media_error import MediaError
from models.preprocessing.media_types import sniff_mime_type
from models.preprocessing.wav_header import with_known_size

FORMATS = {
    "audio/wav": ("WAV", "WAVEX"),
    "audio/flac": ("FLAC",),
    "audio/mpeg": ("MP3",),
    "audio/ogg": ("OGG",),
}
_ENCODINGS = frozenset(
    [
        *("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"),
        *("VORBIS", "OPUS", "MPEG_LAYER_III"),
    ]
)
_COUNTED = ("WAV", "WAVEX", "FLAC")  # the header knows the number of samples; others estimate it
_UNKNOWN_FRAMES = 2**63 - 1
_BLOCK_FRAMES = 1 << 16


@dataclass(frozen=True, slots=True)
class AudioLimits:
    """What one recording may cost."""

    max_bytes: int = 16 * 2**20
    max_seconds: float = 60.0
    max_channels: int = 8
    min_sample_rate: int = 4_000
    max_sample_rate: int = 192_000


def decode_audio(
    data: bytes, sample_rate: int, limits: AudioLimits = AudioLimits()
) -> NDArray[np.float32]:
    """float32 [n], the mean of the channels at `sample_rate`, clipped to -1 … 1.

    A recording of that rate is not resampled. MP3 and OGG do not say how long they are, so that
    of a truncated one what is there is decoded.
    """
    if len(data) > limits.max_bytes:
        raise MediaError(f"recording has {len(data)} bytes; at most {limits.max_bytes} are allowed")
    mime_type = sniff_mime_type(data)
    if mime_type not in FORMATS:
        raise MediaError("not a recording; expected one of WAV, FLAC, MP3, OGG")
    whole = with_known_size(data) if mime_type == "audio/wav" else data
    try:
        with _ForwardFile(io.BytesIO(whole)) as file:
            _check_header(file, FORMATS[mime_type], limits)
            samples, source_rate = _mono_samples(file, limits), file.samplerate
    except soundfile.LibsndfileError as error:
        raise MediaError(f"recording is truncated or damaged: {error.error_string}") from error
    return _resampled(samples, source_rate, sample_rate)


def encode_wav(samples: NDArray[np.float32], sample_rate: int) -> bytes:
    """WAV of 16-bit samples from float32 [n]; what is beyond -1 … 1 is clipped."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


class _ForwardFile(soundfile.SoundFile):  # type: ignore[misc]  # untyped library
    """Is only read forward: a FLAC of unknown length, as pipes write it, cannot be sought in."""

    def seekable(self) -> bool:
        return False


def _check_header(file: soundfile.SoundFile, formats: tuple[str, ...], limits: AudioLimits) -> None:
    if file.format not in formats or file.subtype not in _ENCODINGS:
        raise MediaError(f"recordings as {file.format} {file.subtype} are not read")
    if not limits.min_sample_rate <= file.samplerate <= limits.max_sample_rate:
        raise MediaError(
            f"recording has a sample rate of {file.samplerate}; allowed are"
            f" {limits.min_sample_rate} … {limits.max_sample_rate}"
        )
    if file.channels > limits.max_channels:
        raise MediaError(
            f"recording has {file.channels} channels; at most {limits.max_channels} are allowed"
        )
    if file.frames != _UNKNOWN_FRAMES:
        _check_seconds(file.frames, file.samplerate, limits)


def _check_seconds(num_frames: int, sample_rate: int, limits: AudioLimits) -> None:
    if num_frames > limits.max_seconds * sample_rate:
        raise MediaError(
            f"recording takes {num_frames / sample_rate:.1f} s or more;"
            f" at most {limits.max_seconds:g} s are allowed"
        )


def _mono_samples(file: soundfile.SoundFile, limits: AudioLimits) -> NDArray[np.float32]:
    """Reads block by block, so that no header decides how much memory is taken."""
    blocks: list[NDArray[np.float32]] = []
    num_frames = 0
    while len(block := file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
        num_frames += len(block)
        _check_seconds(num_frames, file.samplerate, limits)
        if not np.isfinite(block).all():
            raise MediaError("recording has samples that are not numbers")
        np.clip(block, -1.0, 1.0, out=block)  # floats near the largest would overflow later
        blocks.append(block[:, 0] if file.channels == 1 else block.mean(axis=1))
    if num_frames == 0:
        raise MediaError("recording has no samples")
    if file.format in _COUNTED and num_frames < file.frames != _UNKNOWN_FRAMES:
        raise MediaError(
            f"recording is truncated: its header promises {file.frames} samples and"
            f" {num_frames} are there"
        )
    return np.concatenate(blocks)


def _resampled(
    samples: NDArray[np.float32], source_rate: int, sample_rate: int
) -> NDArray[np.float32]:
    if source_rate != sample_rate:
        samples = soxr.resample(samples, source_rate, sample_rate)
    if len(samples) == 0:
        raise MediaError(f"recording is shorter than one sample at {sample_rate} per second")
    return np.clip(samples, -1.0, 1.0)
