"""POST /v1/audio/transcriptions by the official client, and what it refuses."""

import openai
import pytest

from tests.contract.test_gateway_sound_and_clips import heard
from tests.support.sound_and_clips import tone

ROUTE = "/v1/audio/transcriptions"
FILE = ("said.wav", tone())


def transcribe(client, file=FILE, **fields):
    return client.audio.transcriptions.create(**({"file": file, "model": "stable"} | fields))


def test_a_transcript_has_the_shape_of_openais(openai_client):
    answer = transcribe(openai_client)
    assert isinstance(answer.text, str)
    usage = answer.usage
    assert usage.type == "tokens"
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert answer.id.startswith("transcript-")
    assert answer.system_fingerprint.startswith("policy-")


def test_it_is_what_a_chat_answers_that_is_asked_to_transcribe(openai_client):
    parts = [heard(tone()), {"type": "text", "text": "transcribe."}]
    messages = [{"role": "user", "content": parts}]
    chat = openai_client.chat.completions.create(model="stable", messages=messages, temperature=0)
    assert transcribe(openai_client).text == chat.choices[0].message.content
    assert transcribe(openai_client).usage.input_tokens == chat.usage.prompt_tokens


def test_it_may_be_plain_text_or_come_with_the_duration(openai_client):
    plain = transcribe(openai_client, response_format="text")
    verbose = transcribe(openai_client, response_format="verbose_json")
    assert plain == f"{verbose.text}\n"
    assert (verbose.duration, verbose.task, verbose.language) == (0.5, "transcribe", "english")


def test_a_stream_gives_the_same_text_piece_by_piece(openai_client):
    *deltas, done = transcribe(openai_client, stream=True)
    assert {event.type for event in deltas} == {"transcript.text.delta"}
    assert done.type == "transcript.text.done"
    assert "".join(event.delta for event in deltas) == done.text == transcribe(openai_client).text
    assert done.usage.output_tokens > 0


def test_fields_that_ask_for_nothing_are_accepted(openai_client):
    assert transcribe(openai_client, language="en", temperature=0.5, chunking_strategy="auto")


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"response_format": "srt"}, "response_format", "invalid_value"),
        ({"temperature": 2}, "temperature", "invalid_value"),
        ({"temperature": "warm"}, "temperature", "invalid_value"),
        ({"language": "fr"}, "language", "invalid_value"),
        ({"prompt": "names: Ada"}, "prompt", "invalid_value"),
        ({"timestamp_granularities[]": "word"}, "timestamp_granularities[]", "invalid_value"),
        ({"stream": "true", "response_format": "text"}, "stream", "invalid_value"),
        ({"speed": "2"}, "speed", "unknown_field"),
        ({"model": None}, "model", "missing_field"),
    ],
)
def test_a_bad_field_is_named(http_client, fields, param, code):
    data = {key: value for key, value in ({"model": "stable"} | fields).items() if value}
    response = http_client.post(ROUTE, data=data, files={"file": FILE})
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["code"]) == (400, param, code)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (("empty.wav", b""), "empty"),
        (("large.wav", bytes((16 << 20) + 1)), "at most 16777216"),
        ((None, b"not a file"), "a part of the form with a filename"),
    ],
)
def test_a_file_that_cannot_be_one_is_refused(http_client, file, said):
    response = http_client.post(ROUTE, data={"model": "stable"}, files={"file": file})
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["code"]) == (400, "file", "invalid_value")
    assert said in error["message"]


def test_a_body_that_is_no_form_is_refused(http_client):
    without = http_client.post(ROUTE, json={"model": "stable"})
    assert (without.status_code, without.json()["error"]["param"]) == (400, "file")
    headers = {"Content-Type": "multipart/form-data"}
    broken = http_client.post(ROUTE, content=b"--x\r\n", headers=headers)
    assert broken.status_code == 400
    assert "boundary" in broken.json()["error"]["message"]


def test_an_unknown_model_is_not_found(openai_client):
    with pytest.raises(openai.NotFoundError) as missing:
        transcribe(openai_client, model="whisper-1")
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
