"""Recordings and clips in every format, and damaged ones: refused with 400, and served on."""

import io

import numpy as np
import openai
import pytest
import soundfile

from tests.contract.test_gateway_chat import ask
from tests.contract.test_gateway_sound_and_clips import heard_by_url, tokens_of, user, watched
from tests.contract.test_gateway_transcriptions import transcribe
from tests.support.clips import clip, colours
from tests.support.sound_and_clips import moving_square, tone

RECORDINGS = {
    "no sound": b"hello, world",
    "a header alone": tone()[:44],
    "truncated": tone()[:3000],
    "a FLAC of nothing": b"fLaC" + bytes(40),
    "too long": tone(seconds=70),
}
CLIPS = {
    "no clip": b"hello, world",
    "truncated": moving_square()[:60],
    "an MP4 of nothing": b"\0\0\0\x18ftypmp42" + bytes(50),
}


def sound(kind: str) -> bytes:
    """Half a second at 48 kHz."""
    file = io.BytesIO()
    soundfile.write(file, np.sin(np.arange(24_000) / 9).astype(np.float32) / 2, 48_000, format=kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "MP3", "OGG"])
def test_a_recording_may_have_any_format_and_rate(openai_client, kind):
    added = tokens_of(openai_client, heard_by_url(sound(kind))) - tokens_of(openai_client)
    assert added in (7, 8), "MP3 adds up to a frame"
    assert transcribe(openai_client, (f"said.{kind.lower()}", sound(kind))).usage.input_tokens > 7


@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_a_clip_may_have_any_format(openai_client, kind):
    film = watched(clip(colours(5), kind), f"video/{kind}")
    assert tokens_of(openai_client, film) == tokens_of(openai_client) + 5 * 16


@pytest.mark.parametrize("data", RECORDINGS.values(), ids=RECORDINGS)
def test_a_damaged_recording_is_refused_and_the_next_request_is_answered(openai_client, data):
    with pytest.raises(openai.BadRequestError, match="recording"):
        ask(openai_client, user(heard_by_url(data)))
    with pytest.raises(openai.BadRequestError, match="recording"):
        transcribe(openai_client, ("said.wav", data))
    assert ask(openai_client).choices


@pytest.mark.parametrize("data", CLIPS.values(), ids=CLIPS)
def test_a_damaged_clip_is_refused_and_the_next_request_is_answered(openai_client, data):
    with pytest.raises(openai.BadRequestError, match="video"):
        ask(openai_client, user(watched(data, "video/mp4")))
    assert ask(openai_client).choices
