"""Generate over real gRPC: streaming, pictures, seeds, identity, cancel, deadline, metrics."""

import asyncio
import io
import urllib.request

import grpc
import pytest
from PIL import Image

from models.preprocessing.images import content_sha256
from protos.v1 import content_pb2, media_pb2, versions_pb2
from protos.v1 import policy_generator_pb2 as pb
from protos.v1 import trajectory_pb2 as trajectories
from services.common.codecs import prompt_to_proto
from tests.contract.policy_service import Policy, collect, generate_request, running_policy, until
from tests.unit.policy.tiny_policy import NUM_CODES, VOCAB_SIZE, question, random_png

IMAGE = trajectories.OUTPUT_MODALITY_IMAGE
LENGTH = trajectories.FINISH_REASON_LENGTH


@pytest.fixture
async def policy(tmp_path):
    async with running_policy(tmp_path) as policy:
        yield policy


async def test_deltas_add_up_to_the_finished_sample(policy: Policy) -> None:
    answer = await policy.generate(n=3, stream_deltas=True, max_tokens=20)
    assert [sample.index for sample in answer.samples] == [0, 1, 2]
    for sample in answer.samples:
        deltas = [delta for delta in answer.deltas if delta.index == sample.index]
        ids = [i for delta in deltas for i in delta.token_ids]
        assert ids == sample.token_ids
        assert [x for d in deltas for x in d.logprobs] == list(sample.logprobs)
        assert "".join(delta.text for delta in deltas) == _text(sample)
        raw = b"".join(piece for delta in deltas for piece in delta.token_bytes)
        assert raw.decode(errors="replace") == _text(sample)
        assert sample.sample_id == f"{answer.started.request_id}/{sample.index}"


async def test_the_answer_says_what_was_used(policy: Policy) -> None:
    answer = await policy.generate(temperature=0.5, top_k=7, stop=["@@"])
    used = answer.started.sampling
    assert (used.temperature, used.top_k, used.top_p, used.seed) == (0.5, 7, 1.0, 3)
    assert (used.max_tokens, used.guidance_scale, list(used.stop)) == (12, 1.0, ["@@"])
    [resident] = (await policy.versions()).values()
    assert answer.started.policy_version == resident.version
    [sample] = answer.samples
    assert [s.policy_version for s in sample.version_spans] == [resident.version]
    assert len(sample.support) == len(sample.kept_mass) == len(sample.token_ids)
    timing = answer.done.timing
    assert timing.prompt_tokens == answer.started.prompt_tokens > 0
    assert timing.completion_tokens == len(sample.token_ids)
    assert 0 < timing.time_to_first_token_s <= timing.total_s


async def test_stop_strings_that_never_come_change_nothing(policy: Policy) -> None:
    answers = [
        await policy.generate(n=2, max_tokens=40, ignore_eos=True, stop=stop)
        for stop in ([], ["@@@@", "never to be seen"])
    ]
    free, waiting = [[list(s.token_ids) for s in answer.samples] for answer in answers]
    assert waiting == free
    assert {s.finish_reason for a in answers for s in a.samples} == {LENGTH}


async def test_an_image_comes_as_a_png_part(policy: Policy) -> None:
    request = generate_request("draw a red circle", n=2, output=IMAGE)
    request.sampling.ClearField("max_tokens")
    answer = await collect(policy.stub.Generate(request))
    for sample in answer.samples:
        assert len(sample.token_ids) == NUM_CODES + 1
        assert min(sample.token_ids[:-1]) >= VOCAB_SIZE
        [part] = sample.parts
        assert Image.open(io.BytesIO(part.media.data)).size == (16, 16)


async def test_a_guided_image_says_its_scale(policy: Policy) -> None:
    answer = await policy.generate("draw", output=IMAGE, max_tokens=65, guidance_scale=3.0)
    assert answer.started.sampling.guidance_scale == 3.0
    assert answer.samples[0].parts[0].media.mime_type == "image/png"


async def test_the_same_seed_gives_the_same_answer_in_a_crowd(policy: Policy) -> None:
    alone = await policy.generate(seed=11)
    crowd = [policy.generate(f"crowd {i}", seed=i) for i in range(6)]
    among, *_ = await asyncio.gather(policy.generate(seed=11), *crowd)
    assert among.ids == alone.ids


async def test_a_repeat_without_a_seed_gives_the_same_answer(policy: Policy) -> None:
    request = generate_request(request_id="mine")
    request.sampling.ClearField("seed")
    first, second = [await collect(policy.stub.Generate(request)) for _ in range(2)]
    assert first.started.request_id == "mine"
    assert first.ids == second.ids


async def test_a_request_id_with_another_body_is_refused(policy: Policy) -> None:
    await policy.generate(request_id="mine")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await policy.generate("another", request_id="mine")
    assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS


async def test_media_that_were_sent_once_may_be_named_by_hash_by_their_tenant(
    policy: Policy,
) -> None:
    png = random_png(4)
    sent = await policy.generate(prompt=prompt_to_proto(question("what?", 4)), tenant="a")
    assert sent.started.media_sha256 == [content_sha256(png)]
    named = await policy.generate(prompt=_by_hash(content_sha256(png)), tenant="a")
    assert named.ids == sent.ids
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await policy.generate(prompt=_by_hash(content_sha256(png)), tenant="b")
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert "send their bytes" in refused.value.details()


async def test_special_tokens_typed_as_text_stay_text(policy: Policy) -> None:
    plain = await policy.generate("<image>")
    typed = await policy.generate("<|image|><|begin_of_image|><|end|>")
    assert typed.started.prompt_tokens > plain.started.prompt_tokens
    assert len(typed.samples[0].token_ids) == 12


async def test_a_client_that_leaves_frees_its_rows(policy: Policy) -> None:
    request = generate_request(stream_deltas=True, max_tokens=240, ignore_eos=True, n=8)
    call = policy.stub.Generate(request)
    async for response in call:
        if response.HasField("delta"):
            break
    call.cancel()

    async def is_free() -> bool:
        return await asyncio.to_thread(_gauge, policy, "attune_policy_running_rows") == 0

    await until(is_free)
    assert (await policy.generate()).samples


async def test_a_deadline_ends_a_request(tmp_path) -> None:
    async with running_policy(tmp_path, max_request_s=0.05) as policy:
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await policy.generate(max_tokens=240, ignore_eos=True, n=64)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert _gauge(policy, "attune_policy_running_rows") == 0


async def test_a_full_queue_says_so(tmp_path) -> None:
    settings = {"max_rows": 1, "reserved_rows": 0, "max_waiting_samples": 1}
    async with running_policy(tmp_path, **settings) as policy:
        endless = {"max_tokens": 240, "ignore_eos": True, "stream_deltas": True}
        calls = [policy.generate(f"{i}", **endless) for i in range(8)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
    refused = [a for a in answers if isinstance(a, grpc.aio.AioRpcError)]
    assert {r.code() for r in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert 1 <= len(refused) < 8


async def test_a_picture_that_is_asked_of_again_is_encoded_once(policy: Policy) -> None:
    for text in ("what is there?", "and now?"):
        await policy.generate(prompt=prompt_to_proto(question(text, picture_seed=5)))
    assert _gauge(policy, "attune_policy_encoded_units_total") == 1
    assert _gauge(policy, "attune_policy_cached_units_total") == 1
    assert _gauge(policy, "attune_policy_feature_cache_bytes") > 0


async def test_metrics_count_what_happened(policy: Policy) -> None:
    await policy.generate(max_tokens=5, ignore_eos=True)
    await policy.generate("draw", output=IMAGE, max_tokens=65)
    assert _gauge(policy, 'attune_policy_generated_tokens_total{modality="text"}') == 5
    assert _gauge(policy, 'attune_policy_generated_tokens_total{modality="image"}') == 64
    assert _gauge(policy, 'attune_policy_finished_samples_total{reason="length"}') == 1
    assert _gauge(policy, "attune_policy_time_to_first_token_seconds_count") == 2
    assert _gauge(policy, "attune_policy_resident_versions") == 1
    assert _gauge(policy, "attune_policy_spool_trajectories") == 2


async def test_versions_are_listed_with_their_limits(policy: Policy) -> None:
    listed = await policy.stub.ListVersions(pb.ListVersionsRequest())
    [resident] = listed.versions
    assert resident.state == versions_pb2.VERSION_STATE_SERVING
    assert list(resident.aliases) == ["base", "stable"]
    assert (resident.limits.context_tokens, resident.limits.text_vocabulary_size) == (256, 300)
    assert {(a.alias, a.version) for a in listed.aliases} == {
        ("base", resident.version),
        ("stable", resident.version),
    }


def _text(sample: trajectories.Sample) -> str:
    return "".join(part.text for part in sample.parts)


def _by_hash(sha256: str) -> content_pb2.Prompt:
    prompt = prompt_to_proto(question("what?", 4))
    for part in prompt.messages[0].parts:
        if part.HasField("media"):
            media = media_pb2.Media(modality=media_pb2.MODALITY_IMAGE, sha256=sha256)
            part.CopyFrom(content_pb2.Part(media=media))
    return prompt


def _gauge(policy: Policy, name: str) -> float:
    url = f"http://127.0.0.1:{policy.running.metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=10) as page:
        lines = page.read().decode().splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[-1])
