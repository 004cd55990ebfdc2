"""What each sound of English is like: formants, voice, noise and length, of an average speaker.

Formants after Peterson and Barney 1952 (vowels) and Klatt 1980, table III (consonants).
"""

from dataclasses import dataclass
from enum import Enum, auto


class Manner(Enum):
    """How a sound is made, which decides how it is synthesised."""

    VOWEL = auto()
    SONORANT = auto()
    NASAL = auto()
    FRICATIVE = auto()
    STOP = auto()


@dataclass(frozen=True, slots=True)
class Noise:
    """A band of noise: its center and width, and how loud it is where a vowel's voice is 1."""

    center_hz: float
    width_hz: float
    level: float


@dataclass(frozen=True, slots=True)
class Phoneme:
    """A sound. `formants_hz` are F1 to F3, at its end `end_formants_hz` where it glides; `voice`
    is how loud the voice is; a stop's `noise` is its burst, `aspiration_ms` what follows that."""

    manner: Manner
    formants_hz: tuple[float, float, float]
    duration_ms: float
    voice: float
    noise: Noise | None = None
    end_formants_hz: tuple[float, float, float] | None = None
    aspiration_ms: float = 0.0


def _vowel(f1: float, f2: float, f3: float, duration_ms: float) -> Phoneme:
    return Phoneme(Manner.VOWEL, (f1, f2, f3), duration_ms, 1.0)


def _diphthong(
    start: tuple[float, float, float], end: tuple[float, float, float], duration_ms: float
) -> Phoneme:
    return Phoneme(Manner.VOWEL, start, duration_ms, 1.0, end_formants_hz=end)


def _sonorant(f1: float, f2: float, f3: float, duration_ms: float) -> Phoneme:
    return Phoneme(Manner.SONORANT, (f1, f2, f3), duration_ms, 0.6)


def _nasal(f2: float, f3: float) -> Phoneme:
    return Phoneme(Manner.NASAL, (270, f2, f3), 70, 0.45)


def _fricative(
    formants: tuple[float, float, float], noise: Noise, duration_ms: float, voice: float = 0.0
) -> Phoneme:
    return Phoneme(Manner.FRICATIVE, formants, duration_ms, voice, noise)


def _stop(
    formants: tuple[float, float, float], burst: Noise, voice: float, aspiration_ms: float
) -> Phoneme:
    return Phoneme(Manner.STOP, formants, 65, voice, burst, aspiration_ms=aspiration_ms)


_LIPS, _TEETH, _RIDGE = (300, 900, 2200), (320, 1350, 2550), (300, 1750, 2650)
_PALATE, _VELUM = (300, 1900, 2500), (280, 2050, 2300)

PHONEMES: dict[str, Phoneme] = {
    "IY": _vowel(280, 2290, 3010, 120),
    "IH": _vowel(400, 1990, 2550, 85),
    "EH": _vowel(550, 1840, 2480, 100),
    "AE": _vowel(690, 1720, 2410, 125),
    "AA": _vowel(730, 1090, 2440, 125),
    "AO": _vowel(570, 840, 2410, 125),
    "UH": _vowel(440, 1020, 2240, 85),
    "UW": _vowel(310, 870, 2240, 115),
    "AH": _vowel(620, 1190, 2390, 85),
    "ER": _vowel(490, 1350, 1690, 120),
    "EY": _diphthong((480, 1950, 2550), (330, 2250, 2850), 135),
    "AY": _diphthong((720, 1200, 2450), (380, 2050, 2600), 155),
    "AW": _diphthong((720, 1250, 2450), (400, 900, 2300), 155),
    "OW": _diphthong((530, 980, 2400), (350, 780, 2300), 135),
    "W": _sonorant(300, 650, 2200, 65),
    "Y": _sonorant(270, 2250, 3000, 60),
    "R": _sonorant(340, 1100, 1450, 70),
    "L": _sonorant(360, 1000, 2800, 70),
    "M": _nasal(1000, 2200),
    "N": _nasal(1550, 2600),
    "NG": _nasal(2150, 2500),
    "F": _fricative(_LIPS, Noise(5000, 3500, 0.16), 90),
    "V": _fricative(_LIPS, Noise(5000, 3500, 0.08), 65, voice=0.35),
    "TH": _fricative(_TEETH, Noise(6200, 1800, 0.11), 90),
    "DH": _fricative(_TEETH, Noise(6200, 1800, 0.05), 50, voice=0.4),
    "S": _fricative(_RIDGE, Noise(6000, 1100, 0.5), 105),
    "Z": _fricative(_RIDGE, Noise(6000, 1100, 0.3), 80, voice=0.35),
    "SH": _fricative(_PALATE, Noise(3000, 800, 0.5), 105),
    "HH": _fricative((550, 1500, 2500), Noise(1500, 1200, 0.14), 60),
    "CH": _stop(_PALATE, Noise(3200, 900, 0.5), 0.0, 70),
    "JH": _stop(_PALATE, Noise(3200, 900, 0.35), 0.12, 50),
    "P": _stop(_LIPS, Noise(900, 900, 0.35), 0.0, 35),
    "B": _stop(_LIPS, Noise(900, 900, 0.25), 0.15, 0),
    "T": _stop(_RIDGE, Noise(4500, 1500, 0.5), 0.0, 40),
    "D": _stop(_RIDGE, Noise(4000, 1500, 0.3), 0.15, 0),
    "K": _stop(_VELUM, Noise(2000, 600, 0.5), 0.0, 45),
    "G": _stop(_VELUM, Noise(2000, 600, 0.3), 0.15, 0),
}
