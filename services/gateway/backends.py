"""The way to the four services behind the gateway: channels, stubs, health checks."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos.v1.feedback_log_pb2_grpc import FeedbackLogStub
from protos.v1.policy_generator_pb2_grpc import PolicyGeneratorStub
from protos.v1.reward_model_pb2_grpc import RewardModelStub
from protos.v1.training_orchestrator_pb2_grpc import TrainingOrchestratorStub
from services.common.client import aio_channel
from services.common.errors import AttuneError, Unavailable, from_rpc
from services.common.logs import get_logger
from services.gateway.config import GatewayConfig

if TYPE_CHECKING:  # these four exist for the type checker only
    from protos.v1.feedback_log_pb2_grpc import FeedbackLogAsyncStub
    from protos.v1.policy_generator_pb2_grpc import PolicyGeneratorAsyncStub
    from protos.v1.reward_model_pb2_grpc import RewardModelAsyncStub
    from protos.v1.training_orchestrator_pb2_grpc import TrainingOrchestratorAsyncStub

_FULL_NAMES = {
    "policy": "attune.v1.PolicyGenerator",
    "reward": "attune.v1.RewardModel",
    "trainer": "attune.v1.TrainingOrchestrator",
    "feedback": "attune.v1.FeedbackLog",
}


class ServiceHealth(StrEnum):
    """What a health check found."""

    SERVING = "serving"
    NOT_SERVING = "not serving"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class HealthReport:
    """One health check of one service."""

    name: str
    address: str
    health: ServiceHealth
    latency_s: float


@dataclass(frozen=True)
class Backends:
    """Typed stubs of the services, and the channels and addresses that they use."""

    policy: "PolicyGeneratorAsyncStub"
    reward: "RewardModelAsyncStub"
    trainer: "TrainingOrchestratorAsyncStub"
    feedback: "FeedbackLogAsyncStub"
    channels: dict[str, grpc.aio.Channel]
    addresses: dict[str, str]

    async def check_all(self, timeout_s: float) -> list[HealthReport]:
        """Checks all services at once; reports in the order policy, reward, trainer, feedback."""
        return list(await asyncio.gather(*(self.check(name, timeout_s) for name in self.channels)))

    async def check(self, name: str, timeout_s: float) -> HealthReport:
        """Asks one service for its health; never raises."""
        stub = health_pb2_grpc.HealthStub(self.channels[name])
        request = health_pb2.HealthCheckRequest(service=_FULL_NAMES[name])
        start_s = time.monotonic()
        try:
            answer = await stub.Check(request, timeout=timeout_s)
            serving = answer.status == health_pb2.HealthCheckResponse.SERVING
            health = ServiceHealth.SERVING if serving else ServiceHealth.NOT_SERVING
        except grpc.RpcError:
            health = ServiceHealth.UNREACHABLE
        latency_s = time.monotonic() - start_s
        return HealthReport(name, self.addresses[name], health, latency_s)


@asynccontextmanager
async def open_backends(config: GatewayConfig) -> AsyncIterator[Backends]:
    """Opens a channel to each service; none needs to be up for that."""
    addresses = {
        "policy": config.policy_address,
        "reward": config.reward_address,
        "trainer": config.trainer_address,
        "feedback": config.feedback_address,
    }
    async with AsyncExitStack() as stack:
        channels = {
            n: await stack.enter_async_context(aio_channel(a)) for n, a in addresses.items()
        }
        yield Backends(
            policy=PolicyGeneratorStub(channels["policy"]),
            reward=RewardModelStub(channels["reward"]),
            trainer=TrainingOrchestratorStub(channels["trainer"]),
            feedback=FeedbackLogStub(channels["feedback"]),
            channels=channels,
            addresses=addresses,
        )


@contextmanager
def calling(name: str) -> Iterator[None]:
    """Turns RPC errors of a service into ours; an unreachable one is named without its address."""
    try:
        yield
    except grpc.RpcError as error:
        raise translate(name, error) from error


def translate(name: str, error: grpc.RpcError) -> AttuneError:
    """The error of an RPC to a service, as the client of the gateway may see it."""
    translated = from_rpc(error)
    if not isinstance(translated, Unavailable):
        return translated
    get_logger(__name__).warning("service unavailable", callee=name, details=str(translated))
    return Unavailable(f"the {name} service is not available; try again shortly")
