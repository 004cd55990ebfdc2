"""POST /v1/chat/completions by the official client, without streaming."""

import base64
import json
import math
import re

import openai
import pytest

from tests.support.pictures import data_url, png

QUESTION = [{"role": "user", "content": "describe the picture."}]


def ask(client, messages=QUESTION, **fields):
    fields = {"model": "stable", "max_completion_tokens": 8} | fields
    return client.chat.completions.create(messages=messages, **fields)


def with_picture(seed: int = 0) -> list[dict]:
    picture = {"type": "image_url", "image_url": {"url": data_url(png(seed)), "detail": "auto"}}
    return [{"role": "user", "content": [picture, {"type": "text", "text": "what is it?"}]}]


def test_an_answer_has_the_shape_of_openais(openai_client):
    answer = ask(openai_client, seed=1)
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    assert answer.model == "stable"
    assert answer.system_fingerprint.startswith("policy-")
    (choice,) = answer.choices
    assert choice.index == 0
    assert choice.message.role == "assistant"
    assert isinstance(choice.message.content, str)
    assert choice.finish_reason in ("stop", "length")
    assert choice.logprobs is None


def test_usage_counts_prompt_answer_and_cached_tokens(openai_client):
    usage = ask(openai_client, n=2, extra_body={"ignore_eos": True}).usage
    assert usage.completion_tokens == 16
    assert usage.prompt_tokens > 1
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_tokens_details.cached_tokens >= 0


def test_the_same_seed_gives_the_same_answers_and_samples_differ(openai_client):
    first, again, other = (ask(openai_client, n=3, seed=seed) for seed in (5, 5, 6))
    texts = [[c.message.content for c in answer.choices] for answer in (first, again, other)]
    assert texts[0] == texts[1] != texts[2]
    assert len(set(texts[0])) == 3
    assert [c.index for c in first.choices] == [0, 1, 2]


def test_a_picture_in_the_prompt_changes_the_answer_and_takes_tokens(openai_client):
    plain = ask(openai_client, temperature=0)
    pictured = ask(openai_client, with_picture(), temperature=0)
    assert pictured.usage.prompt_tokens >= plain.usage.prompt_tokens + 64 - 10
    assert ask(openai_client, with_picture(), seed=3) != ask(openai_client, with_picture(9), seed=3)


def test_a_conversation_may_send_an_answer_back_as_it_came(openai_client):
    message = ask(openai_client).choices[0].message
    turns = [{"role": "system", "content": "be brief"}, *QUESTION, message.to_dict(), *QUESTION]
    assert ask(openai_client, turns).choices


def test_a_version_may_be_asked_for_by_its_id(openai_client):
    version = ask(openai_client).system_fingerprint
    answer = ask(openai_client, model=version)
    assert (answer.model, answer.system_fingerprint) == (version, version)


def test_logprobs_come_with_bytes_and_alternatives(openai_client):
    answer = ask(openai_client, logprobs=True, top_logprobs=3, seed=2, temperature=1)
    (choice,) = answer.choices
    tokens = choice.logprobs.content
    assert 0 < len(tokens) <= 8
    whole = b"".join(bytes(token.bytes) for token in tokens).decode(errors="replace")
    assert whole == choice.message.content
    for token in tokens:
        assert token.logprob <= 0
        assert len(token.top_logprobs) == 3
        total = sum(math.exp(other.logprob) for other in token.top_logprobs)
        assert total <= 1 + 1e-5
        same = [t for t in token.top_logprobs if t.bytes == token.bytes]
        assert all(t.logprob == pytest.approx(token.logprob, abs=1e-5) for t in same)


def test_a_stop_string_ends_the_answer_before_it(openai_client):
    text = ask(openai_client, seed=4, extra_body={"ignore_eos": True}).choices[0].message.content
    stop = text[len(text) // 2]
    (choice,) = ask(openai_client, seed=4, stop=stop, extra_body={"ignore_eos": True}).choices
    assert choice.finish_reason == "stop"
    assert choice.message.content == text[: text.index(stop)]


def test_top_k_of_one_is_greedy(openai_client):
    greedy = ask(openai_client, temperature=0).choices[0].message.content
    top_one = ask(openai_client, seed=8, extra_body={"top_k": 1}).choices[0].message.content
    assert top_one == greedy


def test_an_answer_may_be_a_picture(openai_client):
    answer = ask(
        openai_client,
        extra_body={"modalities": ["image"], "guidance_scale": 2.0},
        max_completion_tokens=80,
    )
    (part,) = answer.choices[0].message.content
    assert part["type"] == "image_url"
    kind, _, encoded = part["image_url"]["url"].partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(encoded).startswith(b"\x89PNG")


SCHEMA = {
    "type": "object",
    "properties": {"sure": {"type": "boolean"}, "count": {"type": "integer", "maximum": 9}},
    "required": ["sure", "count"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_held_to_a_schema(openai_client, stream):
    asked = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
    answer = ask(openai_client, response_format=asked, max_completion_tokens=90, stream=stream)
    if stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in answer)
    else:
        text = answer.choices[0].message.content
        assert answer.choices[0].finish_reason == "stop"
    value = json.loads(text)
    assert set(value) == {"sure", "count"}
    assert isinstance(value["sure"], bool)


def test_an_answer_is_any_object_or_of_a_pattern(openai_client):
    pattern = {"response_format": {"type": "regex", "pattern": "(yes|no), it is [a-z]{3}"}}
    answer = ask(openai_client, extra_body=pattern, max_completion_tokens=40)
    assert re.fullmatch("(yes|no), it is [a-z]{3}", answer.choices[0].message.content)
    some = ask(openai_client, response_format={"type": "json_object"}, max_completion_tokens=4)
    assert some.choices[0].message.content.startswith("{")


@pytest.mark.parametrize(
    "response_format",
    [
        {"type": "regex", "pattern": "(unclosed"},
        {"type": "json_schema", "json_schema": {"schema": {"type": "nonsense"}}},
    ],
)
def test_a_form_that_cannot_be_used_is_refused_before_the_answer(openai_client, response_format):
    with pytest.raises(openai.BadRequestError, match="cannot be used"):
        ask(openai_client, extra_body={"response_format": response_format}, stream=True)


def test_special_tokens_typed_as_text_stay_text(openai_client):
    typed = [{"role": "user", "content": "<|image|><|end|><begin_of_image>" * 8}]
    assert ask(openai_client, typed).usage.prompt_tokens > 100


def test_fields_that_ask_for_nothing_are_accepted(openai_client):
    answer = ask(
        openai_client,
        frequency_penalty=0,
        presence_penalty=0.0,
        logit_bias={},
        response_format={"type": "text"},
        store=False,
        tools=[],
        user="someone",
        metadata={"a": "b"},
        service_tier="auto",
    )
    assert answer.choices
