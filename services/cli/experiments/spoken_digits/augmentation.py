"""Variants of a recording, as if others had said it into other microphones.

Played faster or slower, which moves pitch and formants; formants moved alone, as by a vocal tract
of another length (Jaitly & Hinton 2013); stretched in time at the same pitch; a narrow band muted
(Park et al. 2019); filtered as by a small microphone or a telephone; in noise; at another level;
after a pause. n samples, N frames, F frequencies.
"""

from collections.abc import Callable

import numpy as np
import soxr
from numpy.typing import NDArray

Samples = NDArray[np.float32]

_RATE_STEP = 100  # resampling ratios are whole numbers of hundredths
# Wider ranges make digits of one another: a slow "three" has the formants of an "eight".
_SPEEDS = (0.92, 1.09)
_FORMANT_SHIFTS = (0.94, 1.06)
_FRAME_S, _HOPS_PER_FRAME = 0.032, 4
_ENVELOPE_S = 0.0025  # of the cepstrum: shorter than a high voice's period
_MAX_SHIFT_GAIN = np.log(10.0)
_STRETCHES = (0.85, 1.18)
_MUTED_HZ = (0.0, 300.0)
_GRAIN_S = 0.03
_TILT_DB = 8.0  # of a filter's gain, at random over the band
_NOISE_DB = (20.0, 45.0)  # of signal over noise
_LONGEST_PAUSE_S = 0.25


def vary(samples: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
    """A variant: each change is made at random, by a random amount."""
    changes: tuple[Callable[[Samples, int, np.random.Generator], Samples], ...] = (
        _play_faster,
        _move_formants,
        _stretch,
        _mute_band,
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


def _move_formants(samples: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
    """Moves the envelope of the spectrum along the frequencies, and leaves the pitch."""
    shift = np.exp(rng.uniform(*np.log(_FORMANT_SHIFTS)))
    size = round(_FRAME_S * sample_rate / _HOPS_PER_FRAME) * _HOPS_PER_FRAME
    hop = size // _HOPS_PER_FRAME
    window = np.hanning(size + 1)[:-1]
    padded = np.pad(samples, (size, size + hop))
    frames_Nn = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop] * window
    spectra_NF = np.fft.rfft(frames_Nn)
    cepstra_Nn = np.fft.irfft(np.log(np.abs(spectra_NF) + 1e-5))
    num_kept = round(_ENVELOPE_S * sample_rate)
    cepstra_Nn[:, num_kept : size - num_kept + 1] = 0
    envelope_NF = np.fft.rfft(cepstra_Nn).real
    places_F = np.arange(envelope_NF.shape[1])
    moved_NF = np.stack([np.interp(places_F / shift, places_F, row) for row in envelope_NF])
    gain_NF = np.exp(np.clip(moved_NF - envelope_NF, -_MAX_SHIFT_GAIN, _MAX_SHIFT_GAIN))
    shifted_Nn = np.fft.irfft(spectra_NF * gain_NF) * window
    out = np.zeros(len(padded))
    for number, frame in enumerate(shifted_Nn):
        out[number * hop : number * hop + size] += frame
    scale = 0.375 * _HOPS_PER_FRAME  # what the squares of the windows add up to
    return (out[size : size + len(samples)] / scale).astype(np.float32)


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


def _mute_band(samples: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
    spectrum_F = np.fft.rfft(samples)
    frequencies_F = np.fft.rfftfreq(len(samples), 1 / sample_rate)
    width = rng.uniform(*_MUTED_HZ)
    start = rng.uniform(0, sample_rate / 2 - width)
    spectrum_F[(frequencies_F >= start) & (frequencies_F < start + width)] *= 0.03
    return np.fft.irfft(spectrum_F, len(samples)).astype(np.float32)


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
