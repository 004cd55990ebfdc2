"""The real policy, reward, feedback and trainer services in this process, workers in their own.

The model is tiny and random; everything else is as in production.
"""

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import services.feedback.service
import services.policy.service
import services.reward.service
import services.trainer.service
from protos.v1 import (
    feedback_log_pb2_grpc,
    policy_generator_pb2_grpc,
    reward_model_pb2_grpc,
    training_orchestrator_pb2_grpc,
)
from protos.v1 import training_orchestrator_pb2 as pb
from services.common.client import aio_channel
from services.common.server import RunningService, running_service
from services.common.version_store import VersionStore
from services.feedback.config import FeedbackConfig
from services.policy.config import PolicyConfig
from services.reward.config import RewardConfig
from services.trainer.config import TrainerConfig
from tests.support.tiny_model import save_tiny_model

FINAL = (
    pb.RUN_STATE_SUCCEEDED,
    pb.RUN_STATE_FAILED,
    pb.RUN_STATE_STOPPED,
    pb.RUN_STATE_INTERRUPTED,
)
RL_RECIPE = """
name = "tiny"
stage = "policy"
steps = 3
checkpoint_every = 2
[data]
source = "world"
[rollout]
prompts_per_step = 4
samples_per_prompt = 3
[rollout.sampling]
max_tokens = 12
[reward.user_scorer]
file = "scorer.py"
[algorithm]
name = "grpo"
[optimizer]
learning_rate = 1e-3
[show]
every = 2
samples = 2
"""
# A reward that a random model has variance under, for text and pictures alike.
SCORER = """
import hashlib

def score(item):
    return hashlib.sha256(repr(item["answer"]).encode()).digest()[0] / 255
"""


@dataclass
class Training:
    """Stubs of services that are up, and short ways to run recipes."""

    home: Path
    trainer: "training_orchestrator_pb2_grpc.TrainingOrchestratorAsyncStub"
    policy: "policy_generator_pb2_grpc.PolicyGeneratorAsyncStub"
    reward: "reward_model_pb2_grpc.RewardModelAsyncStub"
    feedback: "feedback_log_pb2_grpc.FeedbackLogAsyncStub"
    running: RunningService
    addresses: dict[str, str]

    @property
    def store(self) -> VersionStore:
        return VersionStore(self.home / "versions")

    async def start(self, recipe: str = RL_RECIPE, **overrides: str) -> pb.Run:
        """Overrides are given with two underscores for the dot."""
        request = pb.StartRunRequest(
            request_id=uuid.uuid4().hex,
            recipe_toml=recipe,
            recipe_folder=str(self.home),
            overrides={name.replace("__", "."): value for name, value in overrides.items()},
        )
        return await self.trainer.StartRun(request)

    async def watch(self, run: pb.Run, after: int = 0) -> list[pb.RunEvent]:
        """All events to the end of the run."""
        request = pb.WatchRunRequest(run_id=run.run_id, after_sequence=after)
        return [event async for event in self.trainer.WatchRun(request)]

    async def get(self, run: pb.Run) -> pb.Run:
        return await self.trainer.GetRun(pb.GetRunRequest(run_id=run.run_id))

    async def finish(self, recipe: str = RL_RECIPE, **overrides: str) -> pb.Run:
        """Runs a recipe to its end."""
        run = await self.start(recipe, **overrides)
        await self.watch(run)
        return await self.get(run)

    async def resume(self, run: pb.Run) -> pb.Run:
        """Resumes a run and follows it to its end."""
        request = pb.StartRunRequest(request_id=uuid.uuid4().hex, resume_run_id=run.run_id)
        events = await self.watch(run)
        await self.trainer.StartRun(request)
        await self.watch(run, events[-1].sequence)
        return await self.get(run)


def metrics_of(events: list[pb.RunEvent]) -> list[dict[str, float]]:
    """Of each step."""
    return [dict(e.metrics.values) for e in events if e.WhichOneof("kind") == "metrics"]


@asynccontextmanager
async def running_training(home: Path, **trainer_settings: Any) -> AsyncIterator[Training]:
    """All four services over one home, with a user's scorer that recipes may name."""
    (home / "scorer.py").write_text(SCORER)
    base = save_tiny_model(home / "base")
    async with AsyncExitStack() as stack:

        async def start(service: Any, config: Any) -> RunningService:
            opened: RunningService = await stack.enter_async_context(
                running_service(config, service.open_servicers(config))
            )
            return opened

        common: dict[str, Any] = {"home": home, "port": 0, "metrics_port": 0, "threads": 1}
        policy = await start(
            services.policy.service, PolicyConfig(base_checkpoint=base, drain_s=1, **common)
        )
        reward = await start(
            services.reward.service, RewardConfig(user_scorer_roots=(home,), drain_s=1, **common)
        )
        feedback = await start(services.feedback.service, FeedbackConfig(drain_s=1, **common))
        settings = {
            "policy_address": policy.address,
            "reward_address": reward.address,
            "feedback_address": feedback.address,
            "drain_s": 5,
            **common,
            **trainer_settings,
        }
        trainer = await start(services.trainer.service, TrainerConfig(**settings))
        channels = [
            await stack.enter_async_context(aio_channel(service.address))
            for service in (trainer, policy, reward, feedback)
        ]
        yield Training(
            home,
            training_orchestrator_pb2_grpc.TrainingOrchestratorStub(channels[0]),
            policy_generator_pb2_grpc.PolicyGeneratorStub(channels[1]),
            reward_model_pb2_grpc.RewardModelStub(channels[2]),
            feedback_log_pb2_grpc.FeedbackLogStub(channels[3]),
            trainer,
            {"policy": policy.address, "reward": reward.address, "feedback": feedback.address},
        )
