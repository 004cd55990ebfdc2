"""generate, stream and rollout against the real policy service."""

import pytest

from attune_client import AsyncClient, FinishReason, errors, image
from tests.support.pictures import png


def test_a_completion_has_text_tokens_and_numbers(client):
    answer = client.generate([image(png()), "what?"], n=2, max_tokens=8, seed=1, ignore_eos=True)
    assert [sample.index for sample in answer.samples] == [0, 1]
    for sample in answer.samples:
        assert len(sample.token_ids) == len(sample.logprobs) == 8
        assert sample.finish_reason is FinishReason.LENGTH
        assert sample.sample_id == f"{answer.completion_id}/{sample.index}"
        assert sample.error is None
    assert answer.text == answer.samples[0].text
    assert answer.policy_version.startswith("policy-")
    assert answer.usage.completion_tokens == 16
    assert answer.usage.prompt_tokens > 0
    again = client.generate([image(png()), "what?"], n=2, max_tokens=8, seed=1, ignore_eos=True)
    assert [s.token_ids for s in again.samples] == [s.token_ids for s in answer.samples]
    assert again.completion_id != answer.completion_id


def test_a_picture_comes_as_png(client):
    answer = client.generate("draw a red circle.", output="image")
    assert answer.images[0].startswith(b"\x89PNG")
    assert image(answer.images[0]).mime_type == "image/png"


def test_a_version_is_told_from_an_alias_by_its_name(client):
    version = client.generate("hi", max_tokens=1).policy_version
    assert client.generate("hi", model=version, max_tokens=1).policy_version == version


def test_a_stream_gives_the_tokens_of_the_completion(client):
    stream = client.stream("hi", max_tokens=8, seed=2)
    with pytest.raises(errors.FailedPrecondition, match="has not ended"):
        _ = stream.completion
    ids = [token for delta in stream for token in delta.token_ids]
    completion = stream.completion
    assert tuple(ids) == completion.samples[0].token_ids
    assert completion.completion_id == stream.completion_id
    assert completion.text == client.generate("hi", max_tokens=8, seed=2).text


def test_a_stream_that_is_left_can_be_followed_by_another(client):
    for _ in client.stream("hi", max_tokens=200, ignore_eos=True):
        break
    assert client.generate("hi", max_tokens=1).samples


def test_rollouts_come_by_prompt_with_what_training_needs(client):
    prompts = ["one", [image(png()), "two"], "three"]
    groups = list(client.rollout(prompts, 2, max_tokens=6, seed=3, deterministic=True))
    assert sorted(group.prompt_index for group in groups) == [0, 1, 2]
    for group in groups:
        assert [sample.index for sample in group.samples] == [0, 1]
        assert len(group.prompt_token_ids) > 0
        [span] = group.samples[0].proto.version_spans
        assert (span.start, span.end) == (0, len(group.samples[0].token_ids))


def test_what_the_server_refuses_is_a_typed_error_with_its_words(client):
    with pytest.raises(errors.NotFound, match="nobody"):
        client.generate("hi", model="nobody")
    with pytest.raises(errors.InvalidArgument, match="temperature"):
        client.generate("hi", temperature=-1.0)
    client.generate("hi", request_id="twice", max_tokens=1)
    with pytest.raises(errors.AlreadyExists, match="another body"):
        client.generate("ho", request_id="twice", max_tokens=1)
    with pytest.raises(ValueError, match="max_token"):
        client.generate("hi", max_token=1)  # type: ignore[call-arg]


def test_a_deadline_ends_a_call(client):
    with pytest.raises(errors.DeadlineExceeded):
        client.generate("hi", n=8, max_tokens=300, ignore_eos=True, deadline_s=0.005)


async def test_asyncio_code_has_the_same_calls(policy_service):
    async with AsyncClient(policy=policy_service.address) as client:
        answer = await client.generate("hi", max_tokens=8, seed=2)
        stream = await client.stream("hi", max_tokens=8, seed=2)
        ids = [token async for delta in stream for token in delta.token_ids]
        assert tuple(ids) == answer.samples[0].token_ids
        assert stream.completion.text == answer.text
        groups = [group async for group in client.rollout(["one", "two"], 2, max_tokens=4)]
        assert sorted(group.prompt_index for group in groups) == [0, 1]
        with pytest.raises(errors.NotFound):
            await client.generate("hi", model="nobody")
