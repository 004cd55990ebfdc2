"""Lanes: bounded, off the loop, finished once begun."""

import asyncio
import threading

import pytest

from services.common.errors import ResourceExhausted
from services.feedback.lanes import Lane


@pytest.fixture
def lane():
    lane = Lane("write", 1, max_pending=2)
    yield lane
    lane.close()


async def test_work_runs_on_the_lanes_own_thread(lane):
    name = await lane.run(lambda: threading.current_thread().name)
    assert name.startswith("feedback-write")


async def test_errors_come_back(lane):
    with pytest.raises(ZeroDivisionError):
        await lane.run(lambda: 1 // 0)
    assert lane.pending() == 0


async def test_work_beyond_the_bound_is_refused_until_some_is_done(lane):
    begun, gate = threading.Event(), threading.Event()

    def work() -> bool:
        begun.set()
        return gate.wait()

    running = [asyncio.create_task(lane.run(work)) for _ in range(2)]
    await asyncio.to_thread(begun.wait)
    with pytest.raises(ResourceExhausted, match="2 requests wait to write already"):
        await lane.run(gate.wait)
    gate.set()
    assert await asyncio.gather(*running) == [True, True]
    assert await lane.run(lambda: "again") == "again"


async def test_begun_work_is_finished_also_if_its_caller_is_cancelled(lane):
    begun, gate, done = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        gate.wait()
        done.set()

    caller = asyncio.create_task(lane.run(work))
    await asyncio.to_thread(begun.wait)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert lane.pending() == 1
    gate.set()
    await asyncio.to_thread(done.wait)
    assert await lane.run(lambda: "next") == "next"
