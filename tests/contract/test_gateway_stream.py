"""Server-sent events of /v1/chat/completions, by the official client and byte by byte."""

import json

from tests.contract.test_gateway_chat import QUESTION, ask

BODY = {"model": "stable", "messages": QUESTION, "max_completion_tokens": 8, "stream": True}


def read_events(http_client, **fields) -> tuple[dict, list[str]]:
    with http_client.stream("POST", "/v1/chat/completions", json=BODY | fields) as response:
        assert response.status_code == 200
        lines = [line for line in response.iter_lines() if line]
        return response.headers, [line.removeprefix("data: ") for line in lines]


def test_a_stream_says_what_a_whole_answer_says(openai_client):
    whole = ask(openai_client, n=2, seed=3)
    texts = {0: "", 1: ""}
    for chunk in ask(openai_client, n=2, seed=3, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == {c.index: c.message.content for c in whole.choices}


def test_chunks_share_id_and_time_and_only_the_last_of_a_choice_says_why_it_ends(openai_client):
    chunks = list(ask(openai_client, n=2, stream=True))
    assert len({(c.id, c.created, c.model, c.system_fingerprint) for c in chunks}) == 1
    assert {c.object for c in chunks} == {"chat.completion.chunk"}
    for index in (0, 1):
        own = [c.choices[0] for c in chunks if c.choices[0].index == index]
        assert [c.delta.role for c in own] == ["assistant"] + [None] * (len(own) - 1)
        assert all(c.finish_reason is None for c in own[:-1])
        assert own[-1].finish_reason in ("stop", "length")


def test_the_wire_is_as_openais(http_client):
    headers, events = read_events(http_client)
    assert headers["content-type"].startswith("text/event-stream")
    assert events[-1] == "[DONE]"
    first, *_, last = (json.loads(event) for event in events[:-1])
    assert first["choices"][0]["delta"]["role"] == "assistant"
    assert first["choices"][0]["finish_reason"] is None
    assert "usage" not in first
    assert last["choices"][0]["delta"] == {}


def test_usage_comes_in_a_last_chunk_without_choices_when_asked_for(http_client):
    _, events = read_events(http_client, stream_options={"include_usage": True})
    *others, last = (json.loads(event) for event in events[:-1])
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] > 8
    assert all(chunk["usage"] is None for chunk in others)


def test_logprobs_stream_with_their_tokens(openai_client):
    seen = []
    for chunk in ask(openai_client, stream=True, logprobs=True, top_logprobs=1, seed=2):
        if chunk.choices[0].logprobs:
            seen += chunk.choices[0].logprobs.content
    whole = ask(openai_client, logprobs=True, top_logprobs=1, seed=2)
    assert [t.bytes for t in seen] == [t.bytes for t in whole.choices[0].logprobs.content]


def test_a_picture_streams_whole_as_a_content_part(openai_client):
    body = {"modalities": ["image"]}
    chunks = list(ask(openai_client, stream=True, extra_body=body, max_completion_tokens=80))
    pictures = [c.choices[0].delta.content for c in chunks if c.choices[0].delta.content]
    ((part,),) = pictures
    assert part["image_url"]["url"].startswith("data:image/png;base64,")
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_stream_is_refused_before_its_headers(http_client):
    for fields, status in (
        ({"model": "nobody"}, 404),
        ({"messages": [{"role": "user", "content": "x" * 5000}]}, 400),
        ({"max_completion_tokens": 100_000}, 400),
    ):
        response = http_client.post("/v1/chat/completions", json=BODY | fields)
        assert response.status_code == status
        assert response.headers["content-type"] == "application/json"
        assert response.json()["error"]["message"]
