"""When each sound of a text is made and how high the voice is: what a speaker adds to the words."""

from dataclasses import dataclass
from random import Random

from services.common.world.speech.lexicon import is_pause, phonemes_of, words_of
from services.common.world.speech.phonemes import PHONEMES, Manner, Phoneme
from services.common.world.speech.voices import Voice

_SILENCE_S = (0.05, 0.2)  # before and after the words
_WORD_GAP_S = (0.0, 0.04)
_PAUSE_S = (0.12, 0.3)
_LAST_WORD_STRETCH = 1.25
_BURST_MS = 13  # of a stop without breath, within its length
_WORD_SPREAD = 0.08  # standard deviation of a word's length, as a share
_ANSWERED_BY_YES_OR_NO = frozenset({"is", "are", "does", "do"})


@dataclass(frozen=True, slots=True)
class Sounding:
    """A phoneme as this voice makes it at this time; formants as it begins and as it ends."""

    phoneme: Phoneme
    start_s: float
    end_s: float
    formants_hz: tuple[float, ...]
    end_formants_hz: tuple[float, ...]

    @property
    def opening_s(self) -> float:
        """When a stop opens, with its burst; another sound is open all along, until it ends."""
        if self.phoneme.manner is not Manner.STOP:
            return self.end_s
        breath_ms = self.phoneme.aspiration_ms or _BURST_MS
        share = breath_ms / (self.phoneme.duration_ms + self.phoneme.aspiration_ms)
        return self.end_s - (self.end_s - self.start_s) * share


@dataclass(frozen=True, slots=True)
class Utterance:
    """All sounds in order, and the points (seconds, semitones from the mean) of the melody."""

    soundings: tuple[Sounding, ...]
    melody: tuple[tuple[float, float], ...]
    duration_s: float


def utterance_of(text: str, voice: Voice, rng: Random) -> Utterance:
    """The text as the voice says it this time."""
    words = words_of(text)
    said = [index for index, word in enumerate(words) if not is_pause(word)]
    now_s = rng.uniform(*_SILENCE_S)
    soundings: list[Sounding] = []
    onsets_s = []
    for index, word in enumerate(words):
        if is_pause(word):
            now_s += rng.uniform(*_PAUSE_S) if index < len(words) - 1 else 0.0
            continue
        onsets_s.append(now_s)
        stretch = max(rng.gauss(1, _WORD_SPREAD), 0.8) / voice.pace
        stretch *= _LAST_WORD_STRETCH if index == said[-1] else 1.0
        for symbol in phonemes_of(word):
            sounding = _sounding(symbol, voice, now_s, stretch)
            soundings.append(sounding)
            now_s = sounding.end_s
        now_s += rng.uniform(*_WORD_GAP_S)
    rises = rng.random() < (0.8 if words[:1] and words[0] in _ANSWERED_BY_YES_OR_NO else 0.15)
    melody = _melody(onsets_s, now_s, voice.intonation_semitones, rises, rng)
    return Utterance(tuple(soundings), melody, now_s + rng.uniform(*_SILENCE_S))


def _sounding(symbol: str, voice: Voice, start_s: float, stretch: float) -> Sounding:
    phoneme, accent = PHONEMES[symbol], voice.accents[symbol]
    ends = phoneme.end_formants_hz or phoneme.formants_hz
    first, last = (
        tuple(f * shift / voice.tract_length for f, shift in zip(at, accent.formants, strict=True))
        for at in (phoneme.formants_hz, ends)
    )
    length_ms = (phoneme.duration_ms + phoneme.aspiration_ms) * accent.duration * stretch
    return Sounding(phoneme, start_s, start_s + length_ms / 1000, first, last)


def _melody(
    onsets_s: list[float], end_s: float, range_semitones: float, rises: bool, rng: Random
) -> tuple[tuple[float, float], ...]:
    """Slowly falling, with an accent on each word, and up or down at the end."""
    points = []
    for onset_s in onsets_s:
        base = range_semitones * (0.5 - onset_s / end_s)
        points.append((onset_s, base))
        points.append((onset_s + 0.08, base + range_semitones * rng.uniform(0.0, 0.4)))
    last = range_semitones * (1.0 if rises else -0.9)
    return (*((at, semitones) for at, semitones in points if at < end_s - 0.1), (end_s, last))
