"""Voices that differ as people's do: pitch, size, pace, breath, and an accent of their own.

Each split has voices that no other has.
"""

import math
from dataclasses import dataclass
from functools import cache
from random import Random

from services.common.world.sampling import Split
from services.common.world.speech.phonemes import PHONEMES

_NUM_VOICES: dict[Split, int] = {"train": 120, "validation": 20, "heldout": 20}

_LOWEST_F0_HZ, _HIGHEST_F0_HZ = 75.0, 280.0
_SHORTEST_TRACT, _LONGEST_TRACT = 0.82, 1.2
_TRACT_SPREAD = 0.06  # how far a tract may be from what the pitch lets expect
_FORMANT_SPREAD = 0.035  # standard deviations of an accent, as shares
_DURATION_SPREAD = 0.1


@dataclass(frozen=True, slots=True)
class Accent:
    """How a speaker's sound differs from the average: factors of F1 to F3 and of its length."""

    formants: tuple[float, float, float]
    duration: float


@dataclass(frozen=True, slots=True, eq=False)
class Voice:
    """One speaker; shares and factors are of the average speaker's."""

    name: str
    f0_hz: float
    intonation_semitones: float
    tract_length: float
    pace: float
    breathiness: float
    jitter: float
    accents: dict[str, Accent]


@cache
def voices_of(split: Split) -> tuple[Voice, ...]:
    """The voices of a split, the same each time."""
    return tuple(voice_of(f"{split}-{index}") for index in range(_NUM_VOICES[split]))


def voice_of(name: str) -> Voice:
    """The speaker of that name."""
    rng = Random(f"voice {name}")
    height = rng.random()  # high voices come from short tracts, mostly
    tract_length = _LONGEST_TRACT - height * (_LONGEST_TRACT - _SHORTEST_TRACT)
    tract_length += rng.gauss(0, _TRACT_SPREAD)
    return Voice(
        name=name,
        f0_hz=_LOWEST_F0_HZ * math.exp(height * math.log(_HIGHEST_F0_HZ / _LOWEST_F0_HZ)),
        intonation_semitones=rng.uniform(2, 7),
        tract_length=min(max(tract_length, _SHORTEST_TRACT), _LONGEST_TRACT),
        pace=rng.uniform(0.85, 1.3),
        breathiness=rng.uniform(0.005, 0.06),
        jitter=rng.uniform(0.002, 0.015),
        accents={symbol: _accent(rng) for symbol in PHONEMES},
    )


def _accent(rng: Random) -> Accent:
    first, second, third = (math.exp(rng.gauss(0, _FORMANT_SPREAD)) for _ in range(3))
    return Accent((first, second, third), math.exp(rng.gauss(0, _DURATION_SPREAD)))
