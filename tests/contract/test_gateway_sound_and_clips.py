"""Recordings and clips in chats, and what the models say that they take."""

import base64

import pytest

from tests.contract.test_gateway_chat import ask
from tests.support.pictures import data_url, png
from tests.support.sound_and_clips import moving_square, tone


def user(*parts: dict) -> list[dict]:
    return [{"role": "user", "content": [*parts, {"type": "text", "text": "what is it?"}]}]


def heard(data: bytes) -> dict:
    encoded = base64.b64encode(data).decode()
    return {"type": "input_audio", "input_audio": {"data": encoded, "format": "wav"}}


def heard_by_url(data: bytes) -> dict:
    return {"type": "audio_url", "audio_url": {"url": data_url(data, "audio/wav")}}


def watched(data: bytes, mime_type: str = "image/gif") -> dict:
    return {"type": "video_url", "video_url": {"url": data_url(data, mime_type)}}


def tokens_of(client, *parts: dict) -> int:
    return ask(client, user(*parts)).usage.prompt_tokens


def test_a_recording_takes_a_token_for_each_80_ms(openai_client):
    plain = tokens_of(openai_client)
    assert tokens_of(openai_client, heard(tone(0.8))) == plain + 10
    assert tokens_of(openai_client, heard(tone(1.6))) == plain + 20
    assert tokens_of(openai_client, heard_by_url(tone(1.6))) == plain + 20


def test_a_clip_takes_16_tokens_for_each_frame(openai_client):
    plain = tokens_of(openai_client)
    assert tokens_of(openai_client, watched(moving_square(3))) == plain + 48


def test_what_a_clips_url_calls_itself_is_not_trusted(openai_client):
    called_mp4, called_gif = (
        tokens_of(openai_client, watched(moving_square(2), mime_type))
        for mime_type in ("video/mp4", "image/gif")
    )
    assert called_mp4 == called_gif


def test_media_of_all_kinds_stand_together_in_one_turn(openai_client):
    picture = {"type": "image_url", "image_url": {"url": data_url(png())}}
    parts = (heard(tone(0.8)), picture, watched(moving_square(2)))
    alone = [tokens_of(openai_client, part) for part in parts]
    plain = tokens_of(openai_client)
    assert tokens_of(openai_client, *parts) == sum(alone) - 2 * plain


def test_another_recording_gives_another_answer(openai_client):
    low, again, high = (
        ask(openai_client, user(heard(tone(hertz=hertz))), seed=3, max_completion_tokens=16)
        for hertz in (200, 200, 3000)
    )
    assert low.choices[0].message.content == again.choices[0].message.content
    assert low.choices[0].message.content != high.choices[0].message.content


def test_models_say_what_they_take_and_what_it_costs(openai_client):
    model = openai_client.models.retrieve("stable").to_dict()
    assert model["input_modalities"] == ["text", "image", "audio", "video"]
    assert model["output_modalities"] == ["text", "image"]
    assert model["audio"]["seconds_per_token"] == pytest.approx(0.08)
    assert model["audio"]["seconds_per_window"] == pytest.approx(0.8)
    assert model["video"] == {"max_frames": 8, "tokens_per_frame": 16}
