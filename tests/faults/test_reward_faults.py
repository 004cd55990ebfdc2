"""What goes wrong around the reward service: good items keep their scores, it serves on."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from protos.v1 import content_pb2, media_pb2, versions_pb2
from protos.v1 import reward_model_pb2 as pb
from services.common.errors import (
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
)
from services.common.version_store import VersionStore
from services.reward.factory import ScorerFactory
from services.reward.scorers.contract import Scorer
from services.reward.scorers.program import PROGRAMS
from tests.contract.reward_service import (
    FAILED,
    REJECTED,
    SCORED,
    TIMEOUT,
    Reward,
    item_to_proto,
    put_version,
    refusal,
    running_reward,
    world_item,
)
from tests.unit.reward.tiny_reward import (
    POISON,
    exported,
    item,
    make_preprocessor,
    picture,
    poisoned,
)


@pytest.fixture
async def reward(tmp_path):
    async with running_reward(tmp_path, user_item_s=1.0) as reward:
        yield reward


def statuses(answer: pb.ScoreResponse) -> list[int]:
    return [score.status for score in answer.scores]


async def serves(reward: Reward) -> bool:
    answer = await reward.score("program/world", [world_item("vqa")])
    return statuses(answer) == [SCORED]


async def test_nan_scores_fail_their_items_and_no_others_in_the_batch(reward: Reward) -> None:
    clean = await reward.load(version=reward.put_version())
    broken = await reward.load(version=reward.put_version(poisoned()))
    items = [item_to_proto(item(text, i)) for i, text in enumerate(["abc", "ab" + POISON, "abd"])]
    answer = await reward.score(broken, items, deterministic=True)
    assert statuses(answer) == [SCORED, FAILED, SCORED]
    assert not answer.scores[1].HasField("reward")
    assert "nan" in answer.scores[1].error
    expected = await reward.score(clean, items, deterministic=True)
    for i in (0, 2):
        assert answer.scores[i].reward == expected.scores[i].reward


@pytest.mark.parametrize("name", ["trunk.onnx", "vision.onnx", "config.json", "tokenizer.json"])
async def test_a_corrupted_file_is_data_loss_and_nothing_else_is_lost(
    reward: Reward, name: str
) -> None:
    version = reward.put_version()
    path = reward.store.folder("reward", version) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    error = await refusal(reward.load(version=version, alias="stable"))
    assert isinstance(error, DataLoss)
    assert name in str(error)
    listed = await reward.stub.ListModels(pb.ListModelsRequest())
    assert (len(listed.models), len(listed.aliases)) == (len(PROGRAMS), 0)
    assert await serves(reward)


def damaged(tmp_path: Path, damage: str) -> Path:
    """A folder that was stored as it is, so its checksums are right and its content is not."""
    folder = tmp_path / "damaged"
    folder.mkdir()
    for file in exported().iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    match damage:
        case "not a graph":
            (folder / "trunk.onnx").write_bytes(b"\x00" * 100)
        case "another graph":
            (folder / "trunk.onnx").write_bytes((folder / "vision.onnx").read_bytes())
        case "no graph":
            (folder / "vision.onnx").unlink()
        case "heads":
            config["reward"]["num_heads"] = 5
        case "tiles":
            config["preprocessor"]["tile_size"] = 16
        case "fingerprint":
            config["fingerprint"] = "0000"
        case "unknown field":
            config["colour"] = "red"
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    "damage",
    ["not a graph", "another graph", "no graph", "heads", "tiles", "fingerprint", "unknown field"],
)
async def test_a_version_of_another_shape_is_refused(reward: Reward, tmp_path, damage: str) -> None:
    error = await refusal(reward.load(version=reward.put_version(damaged(tmp_path, damage))))
    assert isinstance(error, FailedPrecondition)
    assert "not a reward model to serve" in str(error)
    assert await serves(reward)


async def test_a_stored_policy_is_no_reward_model(reward: Reward, tmp_path) -> None:
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    version = reward.store.put("reward", folder, "fingerprint").version
    assert isinstance(await refusal(reward.load(version=version)), FailedPrecondition)


async def test_a_users_scorer_may_hang_die_or_write_garbage(reward: Reward) -> None:
    name = await reward.load_user(
        "import os, sys, time\n"
        "def score(item):\n"
        "    text = item['answer_text']\n"
        "    os.write(1, b'\\x00\\x00\\x00\\x02{}' * 1000)\n"
        "    if text == 'hang': time.sleep(1000)\n"
        "    if text == 'die': os._exit(1)\n"
        "    if text == 'garbage': return {'reward': 'high'}\n"
        "    if text == 'raise': raise ValueError('colour')\n"
        "    return float(text)\n"
    )
    texts = ["1", "hang", "2", "die", "die", "3", "garbage", "raise", "4"]
    answer = await reward.score(name, [item_to_proto(item(text)) for text in texts])
    assert statuses(answer) == [
        *(SCORED, TIMEOUT, SCORED, FAILED, FAILED, SCORED, FAILED, FAILED, SCORED)
    ]
    assert [s.reward for s in answer.scores if s.status == SCORED] == [1, 2, 3, 4]
    assert await serves(reward)


async def test_a_deadline_brings_the_scores_that_are_there(reward: Reward) -> None:
    name = await reward.load_user(
        "import time\n"
        "def score(item):\n"
        "    if item['answer_text'] == 'hang': time.sleep(100)\n"
        "    return 1\n",
        deadline_s=0.9,
    )
    items = [item_to_proto(item(text)) for text in ("1", "hang", "hang", "hang", "1")]
    answer = await reward.score(name, items, timeout_s=1.5)
    assert statuses(answer) == [SCORED, TIMEOUT, TIMEOUT, TIMEOUT, TIMEOUT]


async def test_a_cancelled_call_frees_its_place(tmp_path) -> None:
    async with running_reward(tmp_path, queue_rows=3, user_item_s=30.0) as reward:
        name = await reward.load_user(
            "import time\n"
            "def score(item):\n"
            "    if item['answer_text'] == 'hang': time.sleep(1.5)\n"
            "    return 1\n"
        )
        hanging = [item_to_proto(item("hang"))] * 3
        call = asyncio.ensure_future(reward.score(name, hanging))
        await until(lambda: reward.metric("attune_reward_queued_rows", model=name) == 2)
        error = await refusal(reward.score(name, [item_to_proto(item("1"))]))
        assert isinstance(error, ResourceExhausted)
        assert "3 of 3 places" in str(error)
        call.cancel()
        score = "attune.v1.RewardModel/Score"
        await until(lambda: reward.metric("attune_rpc_in_flight", method=score) == 0)
        answer = await reward.score(name, [item_to_proto(item("1"))] * 3)
        assert statuses(answer) == [SCORED] * 3
        # The one that was running and these three; the two that waited were never computed.
        assert reward.metric("attune_reward_batch_rows_count", model=name) == 4


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - metrics tell nobody that they changed
            await asyncio.sleep(0)


async def test_a_deadline_that_is_too_short_for_any_score_ends_the_call(reward: Reward) -> None:
    name = await reward.load(version=reward.put_version())
    items = [item_to_proto(item(index=i)) for i in range(200)]
    error = await refusal(reward.score(name, items, timeout_s=0.001))
    assert isinstance(error, DeadlineExceeded)
    assert await serves(reward)


async def test_more_items_than_the_queue_holds_are_refused_as_a_whole(tmp_path) -> None:
    async with running_reward(tmp_path, queue_rows=10) as reward:
        error = await refusal(reward.score("program/world", [world_item("vqa")] * 11))
        assert isinstance(error, InvalidArgument)
        assert "at most 10" in str(error)
        assert await serves(reward)


def bomb_png() -> bytes:
    """A header that announces 30000×30000 pixels over hardly any data."""
    data = bytearray(picture())
    data[16:24] = (30000).to_bytes(4, "big") * 2
    return bytes(data)


@pytest.mark.parametrize(
    "data", [picture()[:100], b"", b"not a picture", bomb_png(), b"\x89PNG" + b"x" * (9 << 20)]
)
async def test_a_picture_that_cannot_be_used_rejects_its_item_alone(
    reward: Reward, data: bytes
) -> None:
    name = await reward.load(version=reward.put_version())
    items = [item_to_proto(item("before")), item_to_proto(item(data)), item_to_proto(item("after"))]
    answer = await reward.score(name, items)
    assert statuses(answer) == [SCORED, REJECTED, SCORED]
    assert answer.scores[1].error


async def test_media_that_only_have_a_hash_or_another_modality_reject_their_item(
    reward: Reward,
) -> None:
    name = await reward.load(version=reward.put_version())
    items = [item_to_proto(item()) for _ in range(3)]
    items[0].answer.parts[0].media.CopyFrom(
        media_pb2.Media(modality=media_pb2.MODALITY_IMAGE, sha256="0" * 64)
    )
    items[1].answer.parts[0].media.CopyFrom(
        media_pb2.Media(modality=media_pb2.MODALITY_TEXT, data=b"RIFF")
    )
    answer = await reward.score(name, items)
    assert statuses(answer) == [REJECTED, REJECTED, SCORED]
    assert "send the bytes" in answer.scores[0].error
    assert "modality text" in answer.scores[1].error


async def test_tokens_of_another_preprocessing_are_rejected(reward: Reward) -> None:
    name = await reward.load(version=reward.put_version())
    other = item_to_proto(item())
    other.answer.parts[0].tokens.CopyFrom(
        content_pb2.Tokens(ids=[30, 31], preprocessing_fingerprint="another")
    )
    [score] = (await reward.score(name, [other])).scores
    assert score.status == REJECTED
    assert make_preprocessor().fingerprint in score.error


async def test_a_missing_reference_rejects_its_item_alone(reward: Reward) -> None:
    bare = world_item("align")
    bare.reference_json = ""
    answer = await reward.score("program/world", [world_item("align"), bare, world_item("draw")])
    assert statuses(answer) == [SCORED, REJECTED, SCORED]


@pytest.mark.parametrize(
    ("model", "error"),
    [
        (versions_pb2.ModelRef(), InvalidArgument),
        (versions_pb2.ModelRef(alias="unknown"), NotFound),
        (versions_pb2.ModelRef(version="reward-unknown"), NotFound),
        (versions_pb2.ModelRef(version="program/unknown"), NotFound),
    ],
)
async def test_an_unknown_model_is_refused(
    reward: Reward, model: versions_pb2.ModelRef, error: type[Exception]
) -> None:
    request = pb.ScoreRequest(model=model, items=[world_item("vqa")])
    assert isinstance(await refusal(reward.stub.Score(request)), error)


async def test_an_unknown_lane_is_refused(reward: Reward) -> None:
    refused = await refusal(reward.score("program/world", [], lane=17))
    assert isinstance(refused, InvalidArgument)


async def test_only_files_under_a_trusted_folder_are_run(reward: Reward, tmp_path) -> None:
    trusted = tmp_path / "mine.py"
    trusted.write_text("def score(item): return 1")
    outside = tmp_path.parent / f"{tmp_path.name}-outside.py"
    outside.write_text("raise SystemExit('this must never run')")
    (tmp_path / "link.py").symlink_to(outside)
    for file, function, error in (
        (str(outside), "score", PermissionDenied),
        (str(tmp_path / "link.py"), "score", PermissionDenied),
        (str(tmp_path / ".." / outside.name), "score", PermissionDenied),
        ("mine.py", "score", InvalidArgument),
        (str(tmp_path / "none.py"), "score", NotFound),
        (str(trusted), "no such name", InvalidArgument),
        (str(trusted), "other", FailedPrecondition),
    ):
        user = pb.UserScorer(file=file, function=function)
        assert isinstance(await refusal(reward.load(user_scorer=user)), error), file


async def test_users_files_are_refused_unless_a_folder_is_trusted(tmp_path) -> None:
    async with running_reward(tmp_path, user_scorer_roots=()) as reward:
        error = await refusal(reward.load_user("def score(item): return 1"))
        assert isinstance(error, PermissionDenied)
        assert "user_scorer_roots" in str(error)


async def test_a_damaged_alias_of_the_store_does_not_stop_the_start(tmp_path) -> None:
    version = put_version(tmp_path)
    store = VersionStore(tmp_path / "versions")
    store.set_alias("reward", "stable", version, 1)
    (store.folder("reward", version) / "vision.onnx").unlink()
    async with running_reward(tmp_path) as reward:
        assert await serves(reward)


async def test_a_load_whose_client_leaves_is_completed(
    reward: Reward, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, has_left, load = reward.put_version(), asyncio.Event(), ScorerFactory.version

    async def load_once_alone(factory: ScorerFactory, name: str) -> Scorer:
        await has_left.wait()
        return await load(factory, name)

    monkeypatch.setattr(ScorerFactory, "version", load_once_alone)
    error = await refusal(
        reward.stub.LoadModel(pb.LoadModelRequest(version=version, alias="a"), timeout=0.1)
    )
    assert isinstance(error, DeadlineExceeded)
    has_left.set()
    await until(lambda: reward.metric("attune_reward_resident_models", scorer="onnx") == 1)
    assert statuses(await reward.score(version, [item_to_proto(item())])) == [SCORED]
