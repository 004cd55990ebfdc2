"""The real policy service with a tiny random model, and short ways to ask it. For test_policy*."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from models import checkpoint
from models.omni import OmniModel
from models.preprocessing.conversation import Conversation
from protos.v1 import content_pb2, policy_generator_pb2_grpc, versions_pb2
from protos.v1 import policy_generator_pb2 as pb
from protos.v1 import trajectory_pb2 as trajectories
from services.common.client import aio_channel
from services.common.codecs import manifest_to_proto, prompt_to_proto
from services.common.server import RunningService, running_service
from services.common.version_store import Manifest, VersionStore
from services.policy.config import PolicyConfig
from services.policy.service import open_servicers
from tests.unit.policy.tiny_policy import make_model, make_preprocessor, question

KIND = "policy"
STABLE = versions_pb2.ModelRef(alias="stable")


@dataclass
class Policy:
    """A running service and its stub."""

    home: Path
    running: RunningService
    stub: "policy_generator_pb2_grpc.PolicyGeneratorAsyncStub"

    @property
    def store(self) -> VersionStore:
        return VersionStore(self.home / "versions")

    async def generate(self, text: str = "what colour?", **fields) -> "Answer":
        return await collect(self.stub.Generate(generate_request(text, **fields)))

    async def rollout(
        self, request: pb.RolloutRequest
    ) -> tuple[dict[str, trajectories.Group], pb.RolloutDone]:
        groups, done = {}, None
        async for response in self.stub.Rollout(request):
            if response.HasField("group"):
                groups[response.group.group_id] = response.group
            else:
                done = response.done
        return groups, done

    async def prepare(self, alias: str, epoch: int, manifest: Manifest, folder: Path, **fields):
        header = header_of(alias, epoch, manifest, shared_folder=str(folder), **fields)
        return await self.stub.PrepareWeights(iter([pb.PrepareWeightsRequest(header=header)]))

    async def publish(self, alias: str, folder: Path) -> Manifest:
        """As a trainer does: store, lease, prepare, commit."""
        manifest = put(self.store, folder)
        epoch = self.store.acquire_lease(KIND, alias, "test", ttl_s=60)
        await self.prepare(alias, epoch, manifest, self.store.folder(KIND, manifest.version))
        await self.stub.CommitWeights(
            pb.CommitWeightsRequest(alias=alias, epoch=epoch, version=manifest.version)
        )
        return manifest

    async def versions(self) -> dict[str, versions_pb2.ResidentVersion]:
        listed = await self.stub.ListVersions(pb.ListVersionsRequest())
        return {v.version: v for v in listed.versions}


@dataclass
class Answer:
    started: pb.GenerateStarted
    deltas: list[pb.SampleDelta]
    samples: list[trajectories.Sample]
    done: pb.GenerateDone

    @property
    def ids(self) -> list[list[int]]:
        return [list(sample.token_ids) for sample in self.samples]


@asynccontextmanager
async def running_policy(home: Path, **settings) -> AsyncIterator[Policy]:
    base = home / "base-checkpoint"
    if not base.exists():
        save(base)
    config = PolicyConfig(
        **{"home": home, "port": 0, "metrics_port": 0, "base_checkpoint": base} | settings
    )
    async with (
        running_service(config, open_servicers(config)) as running,
        aio_channel(running.address) as channel,
    ):
        yield Policy(home, running, policy_generator_pb2_grpc.PolicyGeneratorStub(channel))


def save(folder: Path, seed: int = 1, model: OmniModel | None = None) -> Path:
    """A checkpoint of a tiny model."""
    checkpoint.save(folder, model or make_model(seed), make_preprocessor())
    return folder


def put(store: VersionStore, folder: Path) -> Manifest:
    return store.put(KIND, folder, make_preprocessor().fingerprint, {"run": "test"})


def header_of(alias: str, epoch: int, manifest: Manifest, **fields) -> pb.PrepareWeightsHeader:
    return pb.PrepareWeightsHeader(
        alias=alias, epoch=epoch, manifest=manifest_to_proto(manifest), **fields
    )


def generate_request(
    text: str = "what colour?", prompt: content_pb2.Prompt | None = None, **fields
) -> pb.GenerateRequest:
    own = {"model", "n", "request_id", "tenant", "stream_deltas", "priority"}
    request = {"model": STABLE} | {k: v for k, v in fields.items() if k in own}
    sampling = {"max_tokens": 12, "seed": 3} | {k: v for k, v in fields.items() if k not in own}
    return pb.GenerateRequest(
        prompt=prompt or prompt_to_proto(question(text)),
        sampling=trajectories.SamplingParams(**sampling),
        **request,
    )


def rollout_request(
    conversations: Sequence[Conversation], samples: int = 2, **fields
) -> pb.RolloutRequest:
    own = {"max_tokens", "seed", "temperature", "ignore_eos", "output", "top_k"}
    sampling = {"max_tokens": 12, "seed": 3} | {k: v for k, v in fields.items() if k in own}
    return pb.RolloutRequest(
        model=fields.get("model", STABLE),
        prompts=[
            pb.RolloutPrompt(group_id=f"g{i}", prompt=prompt_to_proto(c))
            for i, c in enumerate(conversations)
        ],
        samples_per_prompt=samples,
        sampling=trajectories.SamplingParams(**sampling),
        **{k: v for k, v in fields.items() if k not in own | {"model"}},
    )


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Asks, for at most ten seconds, until it is so."""
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def collect(call) -> Answer:
    started, deltas, samples, done = None, [], [], None
    async for response in call:
        match response.WhichOneof("event"):
            case "started":
                started = response.started
            case "delta":
                deltas.append(response.delta)
            case "finished":
                samples.append(response.finished)
            case "done":
                done = response.done
    return Answer(started, deltas, sorted(samples, key=lambda s: s.index), done)


def poisoned(seed: int = 5) -> OmniModel:
    """A model with a NaN among its weights."""
    model = make_model(seed)
    with torch.no_grad():
        model.lm_head.weight[0, 0] = float("nan")
    return model
