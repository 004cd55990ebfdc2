"""Recordings as windows of log-mel frames, as the audio encoder reads them.

25 ms Hann frames every 10 ms, triangular mel filters (Slaney's scale: linear to 1 kHz, logarithmic
above), log10, the 80 dB below the loudest frame, scaled to about -1..1 (Whisper's way).
Legend: N windows, M mels, T frames of a window, F frequencies.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

HOP_S, FRAME_S = 0.010, 0.025

_FLOOR = 1e-10
_RANGE = 8.0  # in log10 of power: 80 dB
_QUIETEST_PEAK = -4.0


class AudioGrid(BaseModel):
    """How recordings become windows and placeholder ids; part of a checkpoint's config.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sample_rate: int = Field(16_000, ge=4_000, description="samples per second, mono")
    num_mels: int = Field(64, ge=1)
    window_frames: int = Field(400, ge=1, description="frames of 10 ms that are encoded together")
    frames_per_token: int = Field(8, ge=1, description="frames that one placeholder id stands for")


@dataclass(frozen=True, slots=True, eq=False)
class AudioWindows:
    """float32 mels_NMT, and the tokens that stand for each window."""

    mels_NMT: NDArray[np.float32]
    tokens_N: NDArray[np.int64]


def audio_windows(samples: NDArray[np.float32], grid: AudioGrid) -> AudioWindows:
    """Windows one after the other; the last one is padded with silence."""
    mels_MT = log_mel(samples, grid)
    num_frames, size = mels_MT.shape[1], grid.window_frames
    num_windows = math.ceil(num_frames / size)
    padding = num_windows * size - num_frames
    padded_MT = np.pad(mels_MT, ((0, 0), (0, padding)), constant_values=mels_MT.min())
    mels_NMT = padded_MT.reshape(grid.num_mels, num_windows, size).transpose(1, 0, 2)
    frames_N = np.minimum(size, num_frames - size * np.arange(num_windows))
    tokens_N = -(-frames_N // grid.frames_per_token)
    return AudioWindows(np.ascontiguousarray(mels_NMT), tokens_N.astype(np.int64))


def log_mel(samples: NDArray[np.float32], grid: AudioGrid) -> NDArray[np.float32]:
    """float32 [M, frames]: one frame per started 10 ms, at least one."""
    hop, size = round(HOP_S * grid.sample_rate), round(FRAME_S * grid.sample_rate)
    num_frames = max(1, math.ceil(len(samples) / hop))
    padded = np.pad(samples, (size // 2, num_frames * hop + size - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[: num_frames * hop : hop]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(size + 1)[:-1])) ** 2
    bands = _bands(grid.num_mels, grid.sample_rate)
    power_TM = np.stack([spectrum[:, band] @ weights for band, weights in bands], axis=1)
    mels_TM = np.log10(np.maximum(power_TM, _FLOOR))
    peak = max(float(mels_TM.max()), _QUIETEST_PEAK)  # so that silence does not look loud
    scaled_TM = np.maximum(mels_TM - peak, -_RANGE) * (2 / _RANGE) + 1
    return np.ascontiguousarray(scaled_TM.T, dtype=np.float32)


@lru_cache(maxsize=8)
def _bands(num_mels: int, sample_rate: int) -> list[tuple[slice, NDArray[np.float64]]]:
    """Triangles of unit area in hertz, evenly spaced in mel from 0 to half the sample rate.

    Each as the frequencies that it covers and their weights. One matrix of all would be nearly
    empty, and its product is shared among threads that cost 10 ms on a busy machine; these 0.12 ms.
    """
    size = round(FRAME_S * sample_rate)
    frequencies_F = np.arange(size // 2 + 1) * sample_rate / size
    edges = _hertz(np.linspace(0, _mel(sample_rate / 2), num_mels + 2))
    bands = []
    for low, center, high in zip(edges, edges[1:], edges[2:], strict=False):
        rising_F = (frequencies_F - low) / (center - low)
        falling_F = (high - frequencies_F) / (high - center)
        weights_F = np.clip(np.minimum(rising_F, falling_F), 0, None) * (2 / (high - low))
        covered = np.flatnonzero(weights_F)
        band = slice(covered[0], covered[-1] + 1) if len(covered) else slice(0, 1)
        bands.append((band, weights_F[band]))
    return bands


_LINEAR_HZ, _LINEAR_MELS, _LOG_STEP = 1000.0, 15.0, math.log(6.4) / 27


def _mel(hertz: float) -> float:
    if hertz < _LINEAR_HZ:
        return hertz * _LINEAR_MELS / _LINEAR_HZ
    return _LINEAR_MELS + math.log(hertz / _LINEAR_HZ) / _LOG_STEP


def _hertz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    linear = mels * _LINEAR_HZ / _LINEAR_MELS
    return np.where(
        mels < _LINEAR_MELS, linear, _LINEAR_HZ * np.exp(_LOG_STEP * (mels - _LINEAR_MELS))
    )
