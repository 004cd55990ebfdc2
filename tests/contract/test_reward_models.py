"""Loading, aliases, restarts and unloading over real gRPC; and all of it without torch."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from protos.v1 import reward_model_pb2 as pb
from protos.v1 import versions_pb2
from services.common.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
)
from tests.contract.policy_service import until
from tests.contract.reward_service import (
    SCORED,
    Reward,
    item_to_proto,
    put_version,
    refusal,
    running_reward,
)
from tests.unit.reward.tiny_reward import item, make_preprocessor, poisoned

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def reward(tmp_path):
    async with running_reward(tmp_path) as reward:
        yield reward


async def listed(reward: Reward) -> dict[str, pb.RewardVersion]:
    answer = await reward.stub.ListModels(pb.ListModelsRequest())
    return {model.name: model for model in answer.models}


async def score_by_alias(reward: Reward, alias: str) -> pb.ScoreResponse:
    model = versions_pb2.ModelRef(alias=alias)
    items = [item_to_proto(item(reference_json='{"answer": "a red circle"}'))]
    return await reward.stub.Score(pb.ScoreRequest(model=model, items=items))


def another_version(home: Path) -> str:
    """A second version: the same model trained on other data, as far as the store can tell."""
    return put_version(home, poisoned())


async def test_a_loaded_version_is_listed_with_all_that_a_caller_must_know(reward: Reward) -> None:
    version = reward.put_version()
    request = pb.LoadModelRequest(version=version, alias="stable", epoch=1)
    answer = await reward.stub.LoadModel(request)
    assert answer.load_s > 0
    models = await listed(reward)
    assert answer.model == models[version]
    programs = ["program/world", "program/exact", "program/words", "program/colours"]
    assert list(models) == [*programs, version]
    assert models[version].scorer == "onnx"
    assert list(models[version].aliases) == ["stable"]
    assert models[version].preprocessing_fingerprint == make_preprocessor().fingerprint
    assert models[version].metadata["num_heads"] == "2"


async def test_an_alias_moves_between_every_kind_of_scorer(reward: Reward) -> None:
    version = reward.put_version()
    user = await reward.load_user("def score(item): return 3.5")
    term = pb.BlendTerm(model=versions_pb2.ModelRef(version="program/exact"), weight=2)
    blend = await reward.load(blend=pb.Blend(terms=[term]))
    await reward.load(version=version)
    for epoch, name in enumerate((version, "program/exact", user, blend, version), start=1):
        request = pb.SetAliasRequest(alias="run/1", version=name, epoch=epoch)
        assert (await reward.stub.SetAlias(request)).alias.version == name
        answer = await score_by_alias(reward, "run/1")
        assert (answer.reward_version, answer.scores[0].status) == (name, SCORED)


async def test_an_older_epoch_moves_nothing(reward: Reward) -> None:
    await reward.stub.SetAlias(pb.SetAliasRequest(alias="a", version="program/exact", epoch=7))
    older = pb.SetAliasRequest(alias="a", version="program/world", epoch=6)
    assert isinstance(await refusal(reward.stub.SetAlias(older)), FailedPrecondition)
    assert (await score_by_alias(reward, "a")).reward_version == "program/exact"


async def test_a_blend_fixes_what_an_alias_names_when_it_is_made(reward: Reward) -> None:
    await reward.stub.SetAlias(pb.SetAliasRequest(alias="a", version="program/exact", epoch=1))
    term = pb.BlendTerm(model=versions_pb2.ModelRef(alias="a"), weight=2)
    blend = await reward.load(blend=pb.Blend(terms=[term]), alias="b")
    await reward.stub.SetAlias(pb.SetAliasRequest(alias="a", version="program/world", epoch=2))
    [score] = (await score_by_alias(reward, "b")).scores
    assert (score.reward, score.reward_version) == (2.0, blend)


async def test_a_restart_brings_back_aliases_users_scorers_and_blends(tmp_path) -> None:
    async with running_reward(tmp_path) as reward:
        version = await reward.load(version=reward.put_version(), alias="stable", epoch=1)
        user = await reward.load_user("def score(item): return 3.5")
        terms = [
            pb.BlendTerm(model=versions_pb2.ModelRef(version=name), weight=1)
            for name in (user, version)
        ]
        blend = await reward.load(blend=pb.Blend(terms=terms), alias="both", epoch=4)
        before = [(await score_by_alias(reward, alias)).scores[0] for alias in ("stable", "both")]
    async with running_reward(tmp_path) as reward:
        assert {version, user, blend} <= set(await listed(reward))
        after = [(await score_by_alias(reward, alias)).scores[0] for alias in ("stable", "both")]
    assert after == before


async def test_a_pinned_version_that_no_alias_names_outlives_a_restart(tmp_path) -> None:
    async with running_reward(tmp_path) as reward:
        pinned = await reward.load(version=reward.put_version())
        unloaded = await reward.load(version=another_version(tmp_path))
        await reward.stub.UnloadModel(pb.UnloadModelRequest(version=unloaded))
    async with running_reward(tmp_path) as reward:
        names = await listed(reward)
        assert (pinned in names, unloaded in names) == (True, False)


async def test_what_cannot_be_brought_back_is_said_and_the_rest_serves(tmp_path) -> None:
    async with running_reward(tmp_path) as reward:
        version = await reward.load(version=reward.put_version(), alias="stable", epoch=1)
        user = await reward.load_user("def score(item): return 1")
        await reward.stub.SetAlias(pb.SetAliasRequest(alias="mine", version=user, epoch=1))
    (tmp_path / "mine.py").write_text("def score(item): return 2")
    (tmp_path / "versions" / "reward" / "versions" / version / "trunk.onnx").write_bytes(b"cut")
    async with running_reward(tmp_path) as reward:
        for alias in ("stable", "mine"):
            error = await refusal(score_by_alias(reward, alias))
            assert isinstance(error, FailedPrecondition)
            assert "LoadModel it" in str(error)
        answer = await reward.score("program/exact", [item_to_proto(item())])
        assert len(answer.scores) == 1


async def test_a_repeated_load_answers_as_the_first_and_another_body_is_refused(
    reward: Reward,
) -> None:
    version = reward.put_version()
    request = pb.LoadModelRequest(request_id="one", version=version, alias="a", epoch=1)
    first = await reward.stub.LoadModel(request)
    assert await reward.stub.LoadModel(request) == first
    request.epoch = 2
    assert isinstance(await refusal(reward.stub.LoadModel(request)), AlreadyExists)


async def test_a_scorer_that_something_names_is_not_unloaded(reward: Reward) -> None:
    version = await reward.load(version=reward.put_version(), alias="stable", epoch=1)
    term = pb.BlendTerm(model=versions_pb2.ModelRef(version=version), weight=1)
    blend = await reward.load(blend=pb.Blend(terms=[term]))
    for name, holder in ((version, "stable"), ("program/world", "part of the service")):
        error = await refusal(reward.stub.UnloadModel(pb.UnloadModelRequest(version=name)))
        assert isinstance(error, FailedPrecondition)
        assert holder in str(error)
    await reward.stub.SetAlias(pb.SetAliasRequest(alias="stable", version=blend, epoch=2))
    error = await refusal(reward.stub.UnloadModel(pb.UnloadModelRequest(version=version)))
    assert blend in str(error)


async def test_an_unloaded_scorer_is_gone_with_its_metrics(reward: Reward) -> None:
    version = await reward.load(version=reward.put_version())
    await reward.score(version, [item_to_proto(item())])
    assert reward.metric("attune_reward_score_count", model=version) == 1
    await reward.stub.UnloadModel(pb.UnloadModelRequest(version=version))
    assert version not in await listed(reward)
    assert reward.metric("attune_reward_score_count", model=version) == 0
    error = await refusal(reward.score(version, []))
    assert isinstance(error, NotFound)
    assert "LoadModel" in str(error)
    assert await reward.load(version=version) == version


async def test_the_longest_unused_version_that_nothing_names_makes_place(tmp_path) -> None:
    async with running_reward(tmp_path, max_resident=1) as reward:
        first, second = reward.put_version(), another_version(tmp_path)
        await reward.load(version=first)
        await reward.load(version=second, alias="stable", epoch=1)
        assert first not in await listed(reward)
        request = pb.LoadModelRequest(version=first)
        assert isinstance(await refusal(reward.stub.LoadModel(request)), ResourceExhausted)
        assert second in await listed(reward)


@pytest.mark.parametrize(
    ("request_", "error", "text"),
    [
        (pb.LoadModelRequest(), InvalidArgument, "model is not set"),
        (pb.LoadModelRequest(version="reward-0"), NotFound, "no reward version"),
        (pb.LoadModelRequest(version="../x"), NotFound, "no reward version"),
        (pb.LoadModelRequest(blend=pb.Blend()), InvalidArgument, "one or more distinct terms"),
        (
            pb.LoadModelRequest(
                blend=pb.Blend(terms=[pb.BlendTerm(model=versions_pb2.ModelRef(alias="none"))])
            ),
            NotFound,
            "no reward alias 'none'",
        ),
    ],
)
async def test_what_cannot_be_loaded_is_refused(
    reward: Reward, request_: pb.LoadModelRequest, error: type[Exception], text: str
) -> None:
    refused = await refusal(reward.stub.LoadModel(request_))
    assert isinstance(refused, error)
    assert text in str(refused)


def test_the_service_starts_loads_and_scores_where_torch_cannot_be_imported(tmp_path) -> None:
    version = put_version(tmp_path)
    script = textwrap.dedent(
        f"""
        import asyncio, sys
        from pathlib import Path
        sys.modules["torch"] = None  # any import of it raises
        from protos.v1 import content_pb2, reward_model_pb2 as pb, reward_model_pb2_grpc
        from protos.v1.versions_pb2 import ModelRef
        from services.common.client import aio_channel
        from services.common.server import running_service
        from services.reward.config import RewardConfig
        from services.reward.service import open_servicers

        async def main():
            config = RewardConfig(home=Path({str(tmp_path)!r}), port=0, metrics_port=0, threads=1)
            async with running_service(config, open_servicers(config)) as running:
                async with aio_channel(running.address) as channel:
                    stub = reward_model_pb2_grpc.RewardModelStub(channel)
                    await stub.LoadModel(pb.LoadModelRequest(version={version!r}))
                    item = pb.ScoreItem()
                    for message, role in ((item.prompt.messages.add(), 2), (item.answer, 3)):
                        message.role = role
                        message.parts.add(text="red")
                    model = ModelRef(version={version!r})
                    request = pb.ScoreRequest(model=model, items=[item])
                    print((await stub.Score(request)).scores[0].status)
        asyncio.run(main())
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == SCORED


async def test_canaries_stay_where_they_were(tmp_path) -> None:
    async with running_reward(tmp_path, canary_s=0.05) as reward:
        model = await reward.load(version=reward.put_version())

        async def are_more_than_a_round() -> bool:
            return reward.metric("attune_reward_batch_rows_sum", model=model) > 24

        await until(are_more_than_a_round)
        assert reward.metric("attune_reward_canary_shift", model=model) == 0
        assert reward.metric("attune_reward_canaries_lost", model=model) == 0
