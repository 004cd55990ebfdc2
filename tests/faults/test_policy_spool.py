"""The trajectory spool: durable, bounded, drained when the feedback service answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from prometheus_client import CollectorRegistry

from protos.v1 import feedback_log_pb2 as pb
from protos.v1 import feedback_log_pb2_grpc
from protos.v1.trajectory_pb2 import Trajectory
from services.common.codecs import prompt_to_proto
from services.policy.metrics import PolicyMetrics
from services.policy.spool import Spool
from tests.contract.policy_service import running_policy, until
from tests.unit.policy.tiny_policy import question


class RecordingFeedback(feedback_log_pb2_grpc.FeedbackLogServicer):
    """The peer's side of the contract: keeps what it is sent, refuses some of it."""

    def __init__(self) -> None:
        self.trajectories: dict[str, Trajectory] = {}
        self.refused = "no such id"

    async def LogTrajectories(self, request, context):
        if any(t.trajectory_id == self.refused for t in request.trajectories):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not this one")
        self.trajectories |= {t.trajectory_id: t for t in request.trajectories}
        return pb.LogTrajectoriesResponse(stored=len(request.trajectories))


@asynccontextmanager
async def running_feedback(port: int = 0) -> AsyncIterator[tuple[RecordingFeedback, str]]:
    servicer, server = RecordingFeedback(), grpc.aio.server()
    feedback_log_pb2_grpc.add_FeedbackLogServicer_to_server(servicer, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield servicer, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def test_the_spool_survives_a_restart_and_is_drained(tmp_path) -> None:
    async with running_policy(tmp_path) as policy:
        await policy.generate(request_id="a", prompt=prompt_to_proto(question("what?", 1)))
        await policy.generate(request_id="b/odd id…", n=2)
    assert len(_files(tmp_path)) == 2
    async with (
        running_feedback() as (feedback, address),
        running_policy(tmp_path, feedback_address=address) as policy,
    ):
        answer = await policy.generate(request_id="c", tenant="t")
        await until(_drained(tmp_path))
    assert set(feedback.trajectories) == {"a", "b/odd id…", "c"}
    kept = feedback.trajectories["c"]
    assert list(kept.group.samples) == answer.samples
    assert (kept.policy_version, kept.alias, kept.tenant) == (
        answer.started.policy_version,
        "stable",
        "t",
    )
    assert feedback.trajectories["a"].prompt == prompt_to_proto(question("what?", 1))


async def test_what_feedback_refuses_does_not_block_the_rest(tmp_path) -> None:
    async with running_policy(tmp_path) as policy:
        for name in ("good", "bad", "better"):
            await policy.generate(request_id=name)
    async with running_feedback() as (feedback, address):
        feedback.refused = "bad"
        async with running_policy(tmp_path, feedback_address=address):
            await until(_drained(tmp_path))
    assert set(feedback.trajectories) == {"good", "better"}


async def test_it_keeps_trying_while_nobody_answers(tmp_path) -> None:
    async with running_feedback() as (_, address):
        port = int(address.rpartition(":")[2])
    async with running_policy(tmp_path, feedback_address=address) as policy:
        await policy.generate(request_id="a")
        assert len(_files(tmp_path)) == 1
        async with running_feedback(port) as (feedback, _):
            await until(_drained(tmp_path))
    assert set(feedback.trajectories) == {"a"}


@pytest.mark.parametrize("bound", [{"max_files": 3}, {"max_bytes": 3 * 60}])
def test_a_full_spool_loses_its_oldest_and_counts_them(tmp_path, bound: dict[str, int]) -> None:
    registry = CollectorRegistry()
    limits = {"max_files": 100, "max_bytes": 1 << 20} | bound
    spool = Spool(tmp_path, **limits, metrics=PolicyMetrics(registry))
    for index in range(5):
        spool.put(Trajectory(trajectory_id=f"{index}", policy_version="v" * 50))
    left = spool.oldest(10, 1 << 20).values()
    assert [trajectory.trajectory_id for trajectory in left] == ["2", "3", "4"]
    lost = registry.get_sample_value("attune_policy_spool_dropped_total", {"reason": "full"})
    assert lost == 2


def test_a_damaged_file_is_dropped_and_a_half_written_one_never_seen(tmp_path) -> None:
    metrics = PolicyMetrics(CollectorRegistry())
    Spool(tmp_path, 10, 1 << 20, metrics).put(Trajectory(trajectory_id="good"))
    (tmp_path / "00-bad.trajectory").write_bytes(b"\xff\xff\xff")
    (tmp_path / ".half").write_bytes(b"half")
    spool = Spool(tmp_path, 10, 1 << 20, metrics)
    assert [t.trajectory_id for t in spool.oldest(10, 1 << 20).values()] == ["good"]
    assert len(spool) == 1


def _files(home: Path) -> list[Path]:
    return list((home / "spool").glob("*.trajectory"))


def _drained(home: Path):
    async def is_drained() -> bool:
        return not await asyncio.to_thread(_files, home)

    return is_drained
