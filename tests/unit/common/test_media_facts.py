"""Lengths that headers tell."""

import pytest

from services.common.media_facts import clip_frames, recording_seconds
from tests.support.pictures import png
from tests.support.sound_and_clips import moving_square, tone


def test_a_wav_says_its_seconds_and_a_gif_its_frames():
    assert recording_seconds(tone(1.5)) == 1.5
    assert clip_frames(moving_square(7)) == 7


@pytest.mark.parametrize(
    "data", [b"", b"fLaC", tone()[:20], tone()[:2000], moving_square()[:5], png()]
)
def test_what_does_not_say_is_not_guessed(data):
    assert recording_seconds(data) is None
    assert clip_frames(data) is None
