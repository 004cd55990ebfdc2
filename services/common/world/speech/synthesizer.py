"""Makes speech by formant-wave functions (Rodet 1984): each glottal pulse rings the formants.

A pulse excites damped sinusoids at the formants, in the proportions that a cascade of resonators
gives them (Klatt 1980). Fricatives, bursts and breath are bands of noise.
Legend: T samples, P pulses, K formants, A blocks of a wave, B samples of a block, N control points.
"""

import math
from random import Random

import numpy as np
from numpy.typing import NDArray

from services.common.world.speech.phonemes import Manner, Noise
from services.common.world.speech.prosody import Sounding, Utterance, utterance_of
from services.common.world.speech.voices import Voice

SAMPLE_RATE_HZ = 16_000

_UPPER_FORMANTS_HZ = (3500.0, 4500.0)
_MIN_FORMANT_GAP_HZ = 150.0
_NUM_BLOCKS, _BLOCK_SAMPLES = 20, 16  # 20 ms: a first formant has then died down to 2 %
_SOURCE_SLOPE = 0.4  # how fast the voice falls off with frequency, as a power
_RAMP_S = 0.008
_BURST_S = 0.015
_GAIN = (0.25, 0.95)
_SNR_DB = (15.0, 40.0)
_NARROW_SHARE = 0.5  # of microphones; the others hear up to 8 kHz
_LOW_CUT_HZ, _HIGH_CUT_HZ = (40.0, 300.0), (3300.0, 4000.0)
_COLOR_DB, _COLOR_KNOTS_HZ = 6.0, (0.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)

# How much of the formants from the second up is heard.
_BRIGHTNESS = {
    Manner.VOWEL: 1.0,
    Manner.SONORANT: 0.8,
    Manner.NASAL: 0.4,
    Manner.FRICATIVE: 0.5,
    Manner.STOP: 0.15,
}


def speak(text: str, voice: Voice, rng: np.random.Generator) -> NDArray[np.float32]:
    """The text in the voice, mono at 16 kHz within -1 to 1; the same for equal arguments.

    With a short silence before and after, and a little noise at 15 to 40 dB below the speech;
    heard by a good microphone, or by a telephone.
    """
    utterance = utterance_of(text, voice, Random(int(rng.integers(2**32))))
    num_samples = round(utterance.duration_s * SAMPLE_RATE_HZ)
    sound_T = _voiced(utterance, voice, num_samples, rng)
    for sounding in utterance.soundings:
        _add_noises(sound_T, sounding, voice, rng)
    power = float(np.mean(np.square(sound_T))) or 1.0
    decibels = rng.uniform(*_SNR_DB)
    sound_T += np.sqrt(power) * 10 ** (-decibels / 20) * _background(num_samples, rng)
    sound_T = _heard(sound_T, rng)
    low, high = np.log(_GAIN)
    sound_T *= np.exp(rng.uniform(low, high)) / np.abs(sound_T).max()
    return sound_T


def _voiced(
    utterance: Utterance, voice: Voice, num_samples: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """All that the vocal folds make, with the breath that goes with it, vowels at a power of 1."""
    times_N, voices_N, bright_N = _loudness_track(utterance)
    pulses_P = _pulse_times(utterance, voice, rng)
    loudness_P = np.interp(pulses_P, times_N, voices_N)
    is_heard_P = loudness_P > 0.01
    pulses_P, loudness_P = pulses_P[is_heard_P], loudness_P[is_heard_P]
    sound_T = np.zeros(num_samples, np.float32)
    if len(pulses_P) == 0:
        return sound_T
    formants_PK = _formants_at(pulses_P, utterance, voice)
    gains_PK = _cascade_gains(formants_PK)
    gains_PK[:, 1:] *= np.interp(pulses_P, times_N, bright_N)[:, None]
    gains_PK *= loudness_P[:, None] * (1 + rng.normal(0, 2 * voice.jitter, (len(pulses_P), 1)))
    waves_PT = _rings(formants_PK, gains_PK)
    starts_P = np.rint(pulses_P * SAMPLE_RATE_HZ).astype(np.intp)
    places_PT = starts_P[:, None] + np.arange(waves_PT.shape[1])
    added_T = np.bincount(places_PT.ravel(), waves_PT.ravel(), num_samples + waves_PT.shape[1])
    sound_T += added_T[:num_samples].astype(np.float32)
    num_voiced = len(pulses_P) / voice.f0_hz * SAMPLE_RATE_HZ
    sound_T *= np.sqrt(num_voiced / np.sum(np.square(sound_T)))
    breath_T = np.diff(rng.standard_normal(num_samples + 1, np.float32))
    loudness_T = np.interp(np.arange(num_samples) / SAMPLE_RATE_HZ, times_N, voices_N)
    sound_T += voice.breathiness * loudness_T.astype(np.float32) * breath_T
    return sound_T


def _loudness_track(
    utterance: Utterance,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Control points: seconds, how loud the voice is, and how bright."""
    points = [(0.0, 0.0, 1.0)]
    for sounding in utterance.soundings:
        phoneme = sounding.phoneme
        is_stop = phoneme.manner is Manner.STOP
        end_s = sounding.opening_s
        bright = _BRIGHTNESS[phoneme.manner]
        if sounding.start_s > points[-1][0] + 2 * _RAMP_S:  # a pause
            points.append((points[-1][0] + _RAMP_S, 0.0, 1.0))
            points.append((sounding.start_s - _RAMP_S, 0.0, 1.0))
        points.append((sounding.start_s + _RAMP_S, phoneme.voice, bright))
        points.append((end_s - _RAMP_S, phoneme.voice, bright))
        if is_stop:
            points.append((end_s, 0.0, bright))
            points.append((sounding.end_s - _RAMP_S / 2, 0.0, 1.0))
    points.append((points[-1][0] + 3 * _RAMP_S, 0.0, 1.0))
    times_N, voices_N, bright_N = np.array(points).T
    return np.maximum.accumulate(times_N), voices_N, bright_N


def _pulse_times(
    utterance: Utterance, voice: Voice, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Seconds at which the vocal folds close, with their jitter."""
    grid_N = np.arange(0.0, utterance.duration_s, 0.005)
    at_N, semitones_N = np.array(utterance.melody).T
    f0_N = voice.f0_hz * 2 ** (np.interp(grid_N, at_N, semitones_N) / 12)
    cycles_N = np.cumsum(f0_N) * 0.005
    times_P: NDArray[np.float64] = np.interp(np.arange(1, int(cycles_N[-1])), cycles_N, grid_N)
    times_P += rng.normal(0, voice.jitter / voice.f0_hz, len(times_P))
    return times_P


def _formants_at(
    times_P: NDArray[np.float64], utterance: Utterance, voice: Voice
) -> NDArray[np.float64]:
    """Hz [P, K]; between one sound's and the next one's formants they glide (coarticulation)."""
    at_N, targets = [], []
    for sounding in utterance.soundings:
        length_s = sounding.end_s - sounding.start_s
        at_N += [sounding.start_s + 0.25 * length_s, sounding.start_s + 0.75 * length_s]
        targets += [sounding.formants_hz, sounding.end_formants_hz]
    lower = [np.interp(times_P, at_N, track_N) for track_N in np.array(targets).T]
    upper = [np.full_like(times_P, hz / voice.tract_length) for hz in _UPPER_FORMANTS_HZ]
    formants_PK = np.stack(lower + upper, axis=1)
    for k in range(1, formants_PK.shape[1]):
        lowest_P = formants_PK[:, k - 1] + _MIN_FORMANT_GAP_HZ
        formants_PK[:, k] = np.maximum(formants_PK[:, k], lowest_P)
    return formants_PK


def _cascade_gains(formants_PK: NDArray[np.float64]) -> NDArray[np.float64]:
    """The residues of a cascade of resonators, with the slope of the voice."""
    squares_PK = formants_PK**2
    gaps_PKK = squares_PK[:, None, :] - squares_PK[:, :, None]
    diagonal = np.arange(formants_PK.shape[1])
    gaps_PKK[:, diagonal, diagonal] = squares_PK
    factors_PKK = squares_PK[:, None, :] / gaps_PKK
    gains_PK: NDArray[np.float64] = formants_PK ** (1 - _SOURCE_SLOPE) * factors_PKK.prod(axis=2)
    return gains_PK


def _rings(formants_PK: NDArray[np.float64], gains_PK: NDArray[np.float64]) -> NDArray[np.float32]:
    """The wave [P, A·B] of each pulse: damped sinusoids, summed over the formants.

    exp(z (A + B)) = exp(z A) exp(z B), so that few exponentials are taken and a product sums them.
    """
    damping_PK = (-np.pi * (50 + 0.04 * formants_PK) / SAMPLE_RATE_HZ).astype(np.float32)
    turning_PK = (2 * np.pi * formants_PK / SAMPLE_RATE_HZ).astype(np.float32)
    blocks_A = np.arange(_NUM_BLOCKS, dtype=np.float32) * _BLOCK_SAMPLES
    steps_B = np.arange(_BLOCK_SAMPLES, dtype=np.float32)
    decay_PAK = np.exp(damping_PK[:, None] * blocks_A[:, None])
    decay_PAK *= gains_PK[:, None].astype(np.float32)
    angle_PAK = turning_PK[:, None] * blocks_A[:, None]
    decay_PKB = np.exp(damping_PK[..., None] * steps_B)
    angle_PKB = turning_PK[..., None] * steps_B
    left_PAK = np.concatenate([decay_PAK * np.cos(angle_PAK), decay_PAK * np.sin(angle_PAK)], 2)
    right_PKB = np.concatenate([decay_PKB * np.sin(angle_PKB), decay_PKB * np.cos(angle_PKB)], 1)
    waves_PT: NDArray[np.float32] = (left_PAK @ right_PKB).reshape(len(formants_PK), -1)
    return waves_PT


def _add_noises(
    sound_T: NDArray[np.float32], sounding: Sounding, voice: Voice, rng: np.random.Generator
) -> None:
    """Adds friction, or a stop's burst and the breath after it, in place."""
    noise = sounding.phoneme.noise
    if noise is None:
        return
    if sounding.phoneme.manner is not Manner.STOP:
        _add_noise(sound_T, noise, (sounding.start_s, sounding.end_s), voice, rng)
        return
    open_s = sounding.opening_s
    if sounding.phoneme.aspiration_ms == 0:
        _add_noise(sound_T, noise, (open_s, open_s + _BURST_S), voice, rng)
        return
    _add_noise(sound_T, noise, (open_s, open_s + 1.5 * _BURST_S), voice, rng)
    after = Noise(noise.center_hz, noise.width_hz, noise.level * 0.5)
    _add_noise(sound_T, after, (open_s + _BURST_S, sounding.end_s), voice, rng)


def _add_noise(
    sound_T: NDArray[np.float32],
    noise: Noise,
    span_s: tuple[float, float],
    voice: Voice,
    rng: np.random.Generator,
) -> None:
    first, last = (round(at * SAMPLE_RATE_HZ) for at in span_s)
    num_samples = min(last, len(sound_T)) - first
    spectrum = np.fft.rfft(rng.standard_normal(num_samples))
    frequencies = np.fft.rfftfreq(num_samples, 1 / SAMPLE_RATE_HZ)
    offsets = (frequencies - noise.center_hz / voice.tract_length) / noise.width_hz
    band_T = np.fft.irfft(spectrum * np.exp(-0.5 * offsets**2), num_samples)
    band_T *= noise.level / (np.sqrt(np.mean(band_T**2)) + 1e-9)
    sound_T[first : first + num_samples] += (band_T * _envelope(num_samples)).astype(np.float32)


def _envelope(num_samples: int) -> NDArray[np.float64]:
    """Up within 5 ms, then level, then down within 5 ms."""
    steps_T = np.arange(num_samples) + 0.5
    ramp = 0.005 * SAMPLE_RATE_HZ
    envelope_T: NDArray[np.float64] = np.clip(
        np.minimum(steps_T, num_samples - steps_T) / ramp, 0, 1
    )
    return envelope_T


def _background(num_samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise of power 1 and a random color, from hiss to rumble."""
    white_T = rng.standard_normal(num_samples, np.float32)
    smooth_T = np.convolve(white_T, np.hanning(12).astype(np.float32), mode="same")
    share = rng.random()
    mixed_T: NDArray[np.float32] = (share * white_T + (1 - share) * smooth_T).astype(np.float32)
    mixed_T /= np.sqrt(np.mean(np.square(mixed_T)))
    return mixed_T


def _heard(sound_T: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """What a microphone of a random color makes of it; a narrow one has a telephone's band."""
    size = 2 ** math.ceil(math.log2(len(sound_T)))  # a transform of any size may be slow
    frequencies = np.fft.rfftfreq(size, 1 / SAMPLE_RATE_HZ)
    color_db = rng.uniform(-_COLOR_DB, _COLOR_DB, len(_COLOR_KNOTS_HZ))
    gains = 10 ** (np.interp(frequencies, _COLOR_KNOTS_HZ, color_db) / 20)
    if rng.random() < _NARROW_SHARE:
        low, high = rng.uniform(*_LOW_CUT_HZ), rng.uniform(*_HIGH_CUT_HZ)
        gains[(frequencies < low) | (frequencies > high)] = 0.0
    heard_T = np.fft.irfft(np.fft.rfft(sound_T, size) * gains, size)[: len(sound_T)]
    return heard_T.astype(np.float32)
