"""The synthesizer and its voices: what they know, how they differ, that they repeat themselves."""

import numpy as np
import pytest

from services.common.world.items import make_item
from services.common.world.sampling import LEVELS, SPLITS
from services.common.world.speech.lexicon import LEXICON, is_pause, phonemes_of, words_of
from services.common.world.speech.phonemes import PHONEMES
from services.common.world.speech.synthesizer import SAMPLE_RATE_HZ, speak
from services.common.world.speech.voices import voice_of, voices_of

QUESTION = "is the red circle left of the blue square?"


def spoken(text=QUESTION, voice="one", seed=0):
    return speak(text, voice_of(voice), np.random.default_rng(seed))


def spectrum(samples):
    """The share of power in each of 16 bands up to 8 kHz, over all of the sound."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    bands = np.array([band.sum() for band in np.array_split(power, 16)])
    return bands / bands.sum()


@pytest.mark.parametrize("level", LEVELS)
def test_each_word_that_is_asked_or_answered_is_listed(level):
    for family in ("vqa", "video", "speech", "dialogue", "transcribe", "caption"):
        for index in range(200):
            item = make_item(family, "train", index, level)
            heard = [item.exercise.spoken or "", item.target_text]
            if family in ("vqa", "video"):
                heard.append(item.prompt_text.split(": ")[-1])
            words = {word for text in heard for word in words_of(text) if not is_pause(word)}
            assert words <= set(LEXICON)


def test_each_sound_of_the_lexicon_is_known():
    for word in LEXICON:
        assert set(phonemes_of(word)) <= set(PHONEMES)


def test_digits_are_said_as_words_and_unknown_words_by_letter():
    assert words_of("7, 42!") == ["seven", ",", "four", "two", "!"]
    assert phonemes_of("bix") == ["B", "IH", "K", "S"]


def test_speech_repeats_itself_and_differs_by_voice_seed_and_words():
    assert np.array_equal(spoken(), spoken())
    for other in (spoken(voice="two"), spoken(seed=1), spoken(text="what moves?")):
        assert not np.array_equal(spoken()[:8000], other[:8000])


@pytest.mark.parametrize("text", [QUESTION, "seven three", "a", "", "?!", "żółw", "x" * 30])
def test_any_text_can_be_said_within_the_range_of_samples(text):
    samples = spoken(text)
    assert samples.dtype == np.float32
    assert np.isfinite(samples).all()
    assert 0.2 < np.abs(samples).max() <= 1


def test_a_question_takes_about_as_long_as_a_person_takes():
    seconds = [len(spoken(voice=str(i))) / SAMPLE_RATE_HZ for i in range(20)]
    assert 1.5 < min(seconds) < 2.8 < max(seconds) < 4.5


def test_noise_lies_15_to_40_db_below_the_speech():
    for seed in range(20):
        samples = spoken(seed=seed)
        quiet = np.sqrt(np.mean(samples[:700] ** 2))
        decibels = 20 * np.log10(np.sqrt(np.mean(samples**2)) / quiet)
        assert 13 < decibels < 43


def test_the_voice_has_the_pitch_that_it_should():
    for name in map(str, range(12)):
        samples = spoken("are are are are are", name)
        frames = np.lib.stride_tricks.sliding_window_view(samples, 1024)[2000:-4000:400]
        cepstra = np.fft.irfft(np.log(np.abs(np.fft.rfft(frames * np.hanning(1024))) + 1e-3))
        periods = np.arange(SAMPLE_RATE_HZ // 350, SAMPLE_RATE_HZ // 60)
        found_hz = SAMPLE_RATE_HZ / np.median(periods[cepstra[:, periods].argmax(axis=1)])
        assert abs(np.log2(found_hz / voice_of(name).f0_hz)) < 0.5


def test_hisses_are_high_and_vowels_low():
    hiss = PHONEMES["S"]
    assert hiss.noise is not None
    vowel = spectrum(spoken("are"))
    hissing = spectrum(spoken("sss"))
    assert vowel[:4].sum() > 0.8
    assert hissing[8:].sum() > 0.6


def test_splits_have_voices_of_their_own_within_the_human_range():
    names = {split: {voice.name for voice in voices_of(split)} for split in SPLITS}
    assert {split: len(found) for split, found in names.items()} == {
        "train": 120,
        "validation": 20,
        "heldout": 20,
    }
    assert len(set().union(*names.values())) == 160
    voices = [voice for split in SPLITS for voice in voices_of(split)]
    assert len({(voice.f0_hz, voice.pace, voice.jitter) for voice in voices}) == 160
    for voice in voices:
        assert 75 <= voice.f0_hz <= 280
        assert 0.82 <= voice.tract_length <= 1.2
        assert set(voice.accents) == set(PHONEMES)
    assert min(voice.f0_hz for voice in voices) < 85
    assert max(voice.f0_hz for voice in voices) > 260
