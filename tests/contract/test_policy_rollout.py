"""Rollout over real gRPC: groups, bits that repeat, agreement with the trainer's likelihood."""

import asyncio

import numpy as np
import pytest
import torch

from models import checkpoint
from models.likelihood import completion_logprobs
from models.media import MediaTensors
from protos.v1 import trajectory_pb2 as trajectories
from services.common.codecs import prompt_to_proto
from tests.contract.policy_service import Policy, rollout_request, running_policy, save
from tests.unit.policy.tiny_policy import heard_and_seen, question

CONVERSATIONS = [
    question("what?", 1),
    question("draw a circle"),
    question("a longer one", 2),
    heard_and_seen("what?", 3),
]


@pytest.fixture
async def policy(tmp_path):
    async with running_policy(tmp_path) as policy:
        yield policy


def _mixed(**fields):
    """Questions about media of all kinds, and a drawing."""
    request = rollout_request(CONVERSATIONS, samples=4, max_tokens=30, **fields)
    drawing = trajectories.SamplingParams(output=trajectories.OUTPUT_MODALITY_IMAGE)
    request.prompts[1].sampling.CopyFrom(drawing)
    return request


async def test_every_prompt_gives_its_group_as_the_model_saw_it(policy: Policy) -> None:
    groups, done = await policy.rollout(_mixed(return_parts=True))
    preprocessor = checkpoint.load(policy.home / "base-checkpoint").preprocessor
    assert sorted(groups) == ["g0", "g1", "g2", "g3"]
    for index, conversation in enumerate(CONVERSATIONS):
        group = groups[f"g{index}"]
        encoded = preprocessor.encode(conversation, begin_image=index == 1)
        assert list(group.prompt_token_ids) == encoded.token_ids.tolist()
        assert tuple(group.media_sha256) == encoded.media_sha256
        assert group.preprocessing_fingerprint == preprocessor.fingerprint
        assert [sample.sample_id for sample in group.samples] == [f"g{index}/{i}" for i in range(4)]
        assert all(s.version_spans[0].policy_version == done.policy_version for s in group.samples)
    assert groups["g1"].samples[0].parts[0].media.data.startswith(b"\x89PNG")
    assert groups["g1"].sampling.seed == groups["g0"].sampling.seed == 3
    assert done.timing.prompt_tokens == sum(len(g.prompt_token_ids) for g in groups.values())


@pytest.mark.parametrize("asked", [0, 3])
async def test_logprobs_agree_with_the_trainers_likelihood(policy: Policy, asked: int) -> None:
    groups, _ = await policy.rollout(_mixed(temperature=0.8))
    loaded = checkpoint.load(policy.home / "base-checkpoint")
    media = loaded.preprocessor.encode(CONVERSATIONS[asked]).media
    features = loaded.model.encode_media(MediaTensors.from_arrays(media))
    group = groups[f"g{asked}"]
    prompt = list(group.prompt_token_ids)
    for sample in group.samples:
        ids = torch.tensor([[*prompt, *sample.token_ids]])
        with torch.no_grad():
            expected = completion_logprobs(
                loaded.model,
                loaded.grammar,
                ids,
                torch.tensor([len(prompt)]),
                torch.tensor([ids.shape[1]]),
                features,
                temperature=group.sampling.temperature,
            ).logprobs_BT[0]
        np.testing.assert_allclose(sample.logprobs, expected, atol=1e-4)


async def test_a_deterministic_rollout_repeats_bit_for_bit_under_traffic(policy: Policy) -> None:
    request = _mixed(deterministic=True, return_parts=True)
    first, _ = await policy.rollout(request)
    traffic = [
        asyncio.create_task(
            policy.generate(f"traffic {i}", max_tokens=200, ignore_eos=True, seed=i)
        )
        for i in range(6)
    ]
    second, _ = await policy.rollout(request)
    among = sum(not task.done() for task in traffic)
    await asyncio.gather(*traffic)
    third, _ = await policy.rollout(request)
    assert among  # the second ran beside them
    assert first == second == third


async def test_the_same_seed_gives_the_same_tokens_shared_or_exclusive(policy: Policy) -> None:
    shared, _ = await policy.rollout(_mixed())
    exclusive, _ = await policy.rollout(_mixed(deterministic=True))
    for name, group in shared.items():
        ids = [list(sample.token_ids) for sample in group.samples]
        assert ids == [list(sample.token_ids) for sample in exclusive[name].samples]


async def test_sampled_tokens_can_be_sent_back_as_a_turn(policy: Policy) -> None:
    groups, _ = await policy.rollout(_mixed())
    group = groups["g1"]  # codes and their end
    prompt = prompt_to_proto(CONVERSATIONS[1])
    answer = prompt.messages.add(role=3).parts.add().tokens
    answer.ids.extend(group.samples[0].token_ids)
    answer.preprocessing_fingerprint = group.preprocessing_fingerprint
    prompt.messages.add(role=2).parts.add(text="what is it?")
    reply = await policy.generate(prompt=prompt)
    assert reply.started.prompt_tokens > len(group.samples[0].token_ids)


async def test_a_rollout_may_follow_its_alias_to_newer_weights(policy: Policy, tmp_path) -> None:
    request = rollout_request(
        [question("long")] * 8, 8, max_tokens=230, ignore_eos=True, allow_version_switch=True
    )
    old = policy.store.resolve("policy", "stable")
    rollout = asyncio.create_task(policy.rollout(request))
    await asyncio.sleep(0)  # the call is on its way before the weights are
    new = await policy.publish("stable", save(tmp_path / "new", seed=2))
    groups, done = await rollout
    versions = {
        span.policy_version
        for group in groups.values()
        for sample in group.samples
        for span in sample.version_spans
    }
    assert done.policy_version in {old, new.version}
    assert versions <= {old, new.version}
    assert all(s.version_spans[-1].end == 230 for g in groups.values() for s in g.samples)
