"""Variants of a recording, as if others had said it into other microphones.

Played faster or slower, which moves pitch and formants as a shorter or longer vocal tract does
(Jaitly & Hinton 2013); stretched in time at the same pitch; filtered as by a small microphone or a
telephone; in noise; at another level; after a pause. n samples, F frequencies.
"""

from collections.abc import Callable

import numpy as np
import soxr
from numpy.typing import NDArray

Samples = NDArray[np.float32]

_RATE_STEP = 100  # resampling ratios are whole numbers of hundredths
_SPEEDS = (0.78, 1.28)
_STRETCHES = (0.75, 1.3)
_GRAIN_S = 0.03
_TILT_DB = 8.0  # of a filter's gain, at random over the band
_NOISE_DB = (15.0, 45.0)  # of signal over noise
_LONGEST_PAUSE_S = 0.25


def vary(samples: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
    """A variant: each change is made at random, by a random amount."""
    changes: tuple[Callable[[Samples, int, np.random.Generator], Samples], ...] = (
        _play_faster,
        _stretch,
        _filter,
        _pause,
        _add_noise,
        _set_level,
    )
    for change in changes:
        samples = change(samples, sample_rate, rng)
    return samples.astype(np.float32)


def _play_faster(samples: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
    speed = np.exp(rng.uniform(*np.log(_SPEEDS)))
    resampled: Samples = soxr.resample(samples, round(_RATE_STEP * speed), _RATE_STEP)
    return resampled


def _stretch(samples: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
    """Overlapping grains further apart or closer, each where it fits best (WSOLA)."""
    stretch = np.exp(rng.uniform(*np.log(_STRETCHES)))
    hop = round(_GRAIN_S * sample_rate / 2)
    window = np.hanning(2 * hop + 1)[:-1]
    padded = np.pad(samples, (hop, 3 * hop))
    num_grains = int((len(samples) / hop) * stretch) + 1
    out = np.zeros((num_grains + 2) * hop)
    continuation = padded[: 2 * hop]
    for grain in range(num_grains):
        wanted = min(round(grain * hop / stretch), len(padded) - 3 * hop)
        start = _best_start(padded, wanted, hop, continuation)
        out[grain * hop : (grain + 2) * hop] += window * padded[start : start + 2 * hop]
        follow = min(start + hop, len(padded) - 2 * hop)
        continuation = padded[follow : follow + 2 * hop]
    return out[hop:].astype(np.float32)


def _best_start(padded: Samples, wanted: int, hop: int, continuation: Samples) -> int:
    """Near `wanted`, where the samples are most like what would have come next."""
    low = max(0, wanted - hop // 2)
    region = padded[low : min(wanted + hop // 2, len(padded) - 2 * hop) + 2 * hop]
    if len(region) <= 2 * hop:
        return low
    return low + int(np.argmax(np.correlate(region, continuation, mode="valid")))


def _filter(samples: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
    """A smooth gain over the band, and at times an edge at either end."""
    spectrum_F = np.fft.rfft(samples)
    frequencies_F = np.fft.rfftfreq(len(samples), 1 / sample_rate)
    knots = np.linspace(0, sample_rate / 2, 6)
    gain_F = np.interp(frequencies_F, knots, rng.uniform(-_TILT_DB, _TILT_DB, 6))
    if rng.random() < 0.3:
        gain_F -= 40 * (frequencies_F < rng.uniform(100, 400))
    if rng.random() < 0.3:
        gain_F -= 40 * (frequencies_F > rng.uniform(2600, 3800))
    filtered: NDArray[np.float64] = np.fft.irfft(spectrum_F * 10 ** (gain_F / 20), len(samples))
    return filtered.astype(np.float32)


def _pause(samples: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
    before, after = rng.uniform(0, _LONGEST_PAUSE_S, 2) * sample_rate
    return np.pad(samples, (int(before), int(after)))


def _add_noise(samples: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
    power = float(np.mean(samples**2)) * 10 ** (-rng.uniform(*_NOISE_DB) / 10)
    return samples + rng.normal(0, np.sqrt(power), len(samples)).astype(np.float32)


def _set_level(samples: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
    peak = float(np.abs(samples).max()) or 1.0
    return samples * (rng.uniform(0.1, 0.95) / peak)
