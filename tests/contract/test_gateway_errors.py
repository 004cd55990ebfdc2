"""What the gateway refuses: the status, the shape of the error, and the field that is to blame."""

import json

import openai
import pytest

from tests.contract.test_gateway_chat import ask
from tests.contract.test_gateway_stream import BODY
from tests.support.pictures import data_url, png, png_bomb

CHAT = "/v1/chat/completions"


def user(content) -> dict:
    return {"messages": [{"role": "user", "content": content}]}


def picture(url: str) -> dict:
    return user([{"type": "image_url", "image_url": {"url": url}}])


def recording(data: str, audio_format: str = "wav") -> dict:
    audio = {"data": data, "format": audio_format}
    return user([{"type": "input_audio", "input_audio": audio}])


def by_url(kind: str, url: str) -> dict:
    return user([{"type": "text", "text": "x"}, {"type": kind, kind: {"url": url}}])


URL = "messages[0].content[0].image_url.url"
RECORDING = "messages[0].content[0].input_audio.data"
AUDIO_URL = "messages[0].content[1].audio_url.url"
VIDEO_URL = "messages[0].content[1].video_url.url"
BAD_FIELDS = {
    "no messages": ({"messages": []}, "messages"),
    "an empty message": (user([]), "messages[0].content"),
    "no content": ({"messages": [{"role": "user"}]}, "messages[0].content"),
    "a tool's message": ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
    "an unknown part": (user([{"type": "file"}]), "messages[0].content[0]"),
    "a part without its text": (user([{"type": "text"}]), "messages[0].content[0].text"),
    "half a character": (user("\ud800"), "messages[0].content[0].text"),
    "too many parts": (user([{"type": "text", "text": "x"}] * 65), "messages"),
    "an unknown field": ({"top_q": 1}, "top_q"),
    "an unknown field of a part": (
        user([{"type": "text", "text": "x", "colour": "red"}]),
        "messages[0].content[0].colour",
    ),
    "n of zero": ({"n": 0}, "n"),
    "n too large": ({"n": 17}, "n"),
    "n of another type": ({"n": "2"}, "n"),
    "no tokens": ({"max_completion_tokens": 0}, "max_completion_tokens"),
    "too many tokens": ({"max_completion_tokens": 32_768, "n": 2}, "max_completion_tokens"),
    "both names of a limit": ({"max_tokens": 1}, "max_tokens"),
    "a negative temperature": ({"temperature": -0.1}, "temperature"),
    "top_p of zero": ({"top_p": 0}, "top_p"),
    "a negative seed": ({"seed": -1}, "seed"),
    "five stop strings": ({"stop": list("abcde")}, "stop"),
    "a long stop string": ({"stop": "x" * 65}, "stop[0]"),
    "alternatives without logprobs": ({"top_logprobs": 1}, "top_logprobs"),
    "too many alternatives": ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    "a tool": ({"tools": [{"type": "function"}]}, "tools"),
    "a penalty": ({"frequency_penalty": 0.5}, "frequency_penalty"),
    "an unknown format": ({"response_format": {"type": "xml"}}, "response_format"),
    "a schema that is none": (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": []}}},
        "response_format.json_schema.json_schema.schema",
    ),
    "spoken answers": ({"modalities": ["audio"]}, "modalities[0]"),
    "a URL to fetch": (picture("https://example.org/cat.png"), URL),
    "a local file": (picture("file:///etc/passwd"), URL),
    "a data URL of a page": (picture("data:text/html;base64,PGI+"), URL),
    "a data URL of text": (picture("data:image/png,abc"), URL),
    "broken base64": (picture("data:image/png;base64,@@@@"), URL),
    "an empty picture": (picture("data:image/png;base64,"), URL),
    "an oversized picture": (picture(data_url(bytes((8 << 20) + 3))), URL),
    "a clip as a picture": (picture("data:video/mp4;base64,AAAA"), URL),
    "no recording": (user([{"type": "input_audio"}]), "messages[0].content[0].input_audio"),
    "a recording of another format": (
        recording("AAAA", "aiff"),
        "messages[0].content[0].input_audio.format",
    ),
    "a recording in broken base64": (recording("@@@@"), RECORDING),
    "an empty recording": (recording(""), RECORDING),
    "an oversized recording": (recording("A" * (22 << 20)), RECORDING),
    "a recording to fetch": (by_url("audio_url", "https://example.org/a.wav"), AUDIO_URL),
    "a picture as a recording": (by_url("audio_url", data_url(png())), AUDIO_URL),
    "a clip to fetch": (by_url("video_url", "http://169.254.169.254/a.mp4"), VIDEO_URL),
    "a picture as a clip": (by_url("video_url", data_url(png())), VIDEO_URL),
    "an empty clip": (by_url("video_url", "data:video/mp4;base64,"), VIDEO_URL),
    "an oversized clip": (
        by_url("video_url", data_url(bytes((16 << 20) + 3), "video/mp4")),
        VIDEO_URL,
    ),
}
BAD_PICTURES = {
    "truncated": png()[:100],
    "a bomb by its header": png_bomb(),
    "not a picture": b"hello, world",
    "a header alone": png()[:33],
}


@pytest.mark.parametrize(("fields", "param"), BAD_FIELDS.values(), ids=BAD_FIELDS)
def test_a_bad_field_is_named(http_client, fields, param):
    body = BODY | {"stream": False} | fields
    content = json.dumps(body)  # httpx would refuse half a character
    headers = {"Content-Type": "application/json"}
    response = http_client.post(CHAT, content=content, headers=headers)
    error = response.json()["error"]
    assert response.status_code == 400, error
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["param"], error["type"]) == (param, "invalid_request_error")
    assert len(error["message"]) < 300


@pytest.mark.parametrize("data", BAD_PICTURES.values(), ids=BAD_PICTURES)
def test_a_broken_picture_is_refused_and_the_next_request_is_answered(openai_client, data):
    with pytest.raises(openai.BadRequestError) as refused:
        ask(openai_client, **picture(data_url(data)))
    assert refused.value.body["message"]
    assert ask(openai_client).choices


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (picture("http://127.0.0.1:1/x.png"), "data:image/png;base64,"),
        (by_url("audio_url", "http://127.0.0.1:1/x.wav"), "data:audio/wav;base64,"),
        (by_url("video_url", "http://127.0.0.1:1/x.mp4"), "data:video/mp4;base64,"),
    ],
)
def test_the_message_for_a_url_says_how_to_send_the_medium(http_client, content, said):
    response = http_client.post(CHAT, json=BODY | content)
    assert "fetches no URLs" in response.json()["error"]["message"]
    assert said in response.json()["error"]["message"]


@pytest.mark.parametrize("model", ["nobody", "run/7f3a", "policy-0123456789abcdef", "../stable"])
def test_an_unknown_alias_or_version_is_not_found(openai_client, model):
    with pytest.raises(openai.NotFoundError) as missing:
        ask(openai_client, model=model)
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("content", "content_type", "code"),
    [
        (b"{", "application/json", "invalid_json"),
        (b'{"a": NaN', "application/json", "invalid_json"),
        (b"\xff\xfe", "application/json", "invalid_json"),
        (b"[" * 100_000, "application/json", "bad_request"),
        (b"[]", "application/json", "invalid_body"),
        (b"", "application/json", "invalid_body"),
        (b'{"model": "stable"}', "text/plain", "invalid_body"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(http_client, content, content_type, code):
    headers = {"Content-Type": content_type}
    response = http_client.post(CHAT, content=content, headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (400, code)


def test_what_does_not_exist_answers_in_the_same_shape(http_client):
    missing = http_client.get("/v1/nothing")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    wrong = http_client.get(CHAT)
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (405, "invalid_request_error")


@pytest.mark.parametrize("timeout", ["soon", "-1", "0", "nan", "100000"])
def test_a_deadline_that_cannot_be_kept_is_refused(http_client, timeout):
    response = http_client.post(
        CHAT, json=BODY | {"stream": False}, headers={"X-Request-Timeout": timeout}
    )
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "x-request-timeout"


def test_a_deadline_that_passes_is_a_timeout(http_client):
    body = BODY | {"stream": False, "max_completion_tokens": 400, "ignore_eos": True, "n": 16}
    response = http_client.post(CHAT, json=body, headers={"X-Request-Timeout": "0.05"})
    assert (response.status_code, response.json()["error"]["code"]) == (504, "timeout")
