"""The real reward service and short ways to ask it. For test_reward*."""

import json
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from protos.v1 import reward_model_pb2 as pb
from protos.v1 import reward_model_pb2_grpc, versions_pb2
from services.common.client import aio_channel
from services.common.codecs import prompt_to_proto, turn_to_proto
from services.common.errors import AttuneError, from_rpc
from services.common.server import RunningService, running_service
from services.common.version_store import VersionStore
from services.common.world.items import make_item
from services.reward.config import RewardConfig
from services.reward.scorers.contract import ScoringItem
from services.reward.service import open_servicers
from tests.unit.reward.tiny_reward import exported, make_preprocessor

SCORED, FAILED = pb.SCORE_STATUS_SCORED, pb.SCORE_STATUS_FAILED
TIMEOUT, ABSTAIN = pb.SCORE_STATUS_TIMEOUT, pb.SCORE_STATUS_ABSTAIN
REJECTED = pb.SCORE_STATUS_REJECTED


@dataclass
class Reward:
    """A running service and its stub."""

    home: Path
    running: RunningService
    stub: "reward_model_pb2_grpc.RewardModelAsyncStub"

    @property
    def store(self) -> VersionStore:
        return VersionStore(self.home / "versions")

    def put_version(self, folder: Path | None = None) -> str:
        """Stores an exported reward model."""
        return put_version(self.home, folder)

    async def load(self, **fields: Any) -> str:
        """Loads a model and gives its name."""
        answer = await self.stub.LoadModel(pb.LoadModelRequest(**fields), timeout=30)
        return answer.model.name

    async def load_user(self, source: str, **fields: Any) -> str:
        """Writes a scorer under the trusted folder and loads it."""
        file = self.home / "mine.py"
        file.write_text(source)
        user = pb.UserScorer(file=str(file), function="score", **fields)
        return await self.load(user_scorer=user)

    async def score(
        self, version: str, items: Sequence[pb.ScoreItem], timeout_s: float = 30, **fields: Any
    ) -> pb.ScoreResponse:
        model = versions_pb2.ModelRef(version=version)
        request = pb.ScoreRequest(model=model, items=items, **fields)
        return await self.stub.Score(request, timeout=timeout_s)

    def metric(self, name: str, **labels: str) -> float:
        """The value of a sample; 0 where there is none yet."""
        wanted = {f'{key}="{value}"' for key, value in labels.items()}
        for line in self.metrics_text().splitlines():
            sample, _, value = line.rpartition(" ")
            found, _, given = sample.partition("{")
            if found == name and wanted <= set(given.rstrip("}").split(",")):
                return float(value)
        return 0.0

    def metrics_text(self) -> str:
        """What a scrape gives."""
        address = f"http://127.0.0.1:{self.running.metrics_port}/metrics"
        with urllib.request.urlopen(address, timeout=5) as response:
            text: str = response.read().decode()
        return text


@asynccontextmanager
async def running_reward(home: Path, **fields: Any) -> AsyncIterator[Reward]:
    values = {"threads": 1, "user_scorer_roots": (home,), "drain_s": 1.0} | fields
    config = RewardConfig(home=home, port=0, metrics_port=0, **values)
    async with (
        running_service(config, open_servicers(config)) as running,
        aio_channel(running.address) as channel,
    ):
        yield Reward(home, running, reward_model_pb2_grpc.RewardModelStub(channel))


def put_version(home: Path, folder: Path | None = None) -> str:
    store = VersionStore(home / "versions")
    fingerprint = make_preprocessor().fingerprint
    return store.put("reward", folder or exported(), fingerprint, {"run": "test"}).version


def item_to_proto(item: ScoringItem) -> pb.ScoreItem:
    return pb.ScoreItem(
        item_id=item.item_id,
        prompt=prompt_to_proto(item.conversation),
        answer=turn_to_proto(item.answer),
        reference_json=item.reference_json,
        task=item.task,
    )


def world_item(family: str, index: int = 0) -> pb.ScoreItem:
    """A world item with its own right answer."""
    item = make_item(family, "train", index)
    return pb.ScoreItem(
        item_id=item.item_id,
        prompt=prompt_to_proto(item.conversation),
        answer=turn_to_proto(item.target),
        reference_json=json.dumps(item.reference),
        task=family,
    )


async def refusal(call: Any) -> AttuneError:
    """The error that a call ends with."""
    try:
        await call
    except grpc.RpcError as error:
        return from_rpc(error)
    raise AssertionError("the call was answered")
