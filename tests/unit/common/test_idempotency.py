"""Idempotency: one execution per key, whatever clients do."""

import asyncio

import pytest

from protos.v1.feedback_log_pb2 import GetTrajectoryRequest, PutItemsResponse
from services.common.errors import AlreadyExists
from services.common.idempotency import IdempotencyCache

BODY = GetTrajectoryRequest(trajectory_id="a")
OTHER_BODY = GetTrajectoryRequest(trajectory_id="b")


class Work:
    """An execution that waits for leave to finish, counts itself, and can be told to fail."""

    def __init__(self) -> None:
        self.runs = 0
        self.started = asyncio.Event()
        self.may_finish = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> PutItemsResponse:
        self.runs += 1
        self.started.set()
        await self.may_finish.wait()
        if self.error:
            raise self.error
        return PutItemsResponse(stored=self.runs)


@pytest.fixture
async def work() -> Work:
    return Work()


async def test_a_repeat_gets_the_first_answer_without_a_second_execution(work):
    cache = IdempotencyCache()
    work.may_finish.set()
    first = await cache.run("k", BODY, work)
    assert await cache.run("k", BODY, work) == first
    assert work.runs == 1


async def test_concurrent_repeats_share_one_execution(work):
    cache = IdempotencyCache()
    calls = [asyncio.create_task(cache.run("k", BODY, work)) for _ in range(5)]
    await work.started.wait()
    work.may_finish.set()
    answers = await asyncio.gather(*calls)
    assert work.runs == 1
    assert answers == [PutItemsResponse(stored=1)] * 5


async def test_the_same_key_with_another_body_is_refused_also_while_running(work):
    cache = IdempotencyCache()
    running = asyncio.create_task(cache.run("k", BODY, work))
    await work.started.wait()
    with pytest.raises(AlreadyExists, match="'k' was used with another body"):
        await cache.run("k", OTHER_BODY, work)
    work.may_finish.set()
    await running
    with pytest.raises(AlreadyExists):
        await cache.run("k", OTHER_BODY, work)


async def test_a_failure_reaches_all_who_wait_and_is_not_kept(work):
    cache = IdempotencyCache()
    work.error = RuntimeError("full")
    calls = [asyncio.create_task(cache.run("k", BODY, work)) for _ in range(2)]
    await work.started.wait()
    work.may_finish.set()
    assert [str(e) for e in await asyncio.gather(*calls, return_exceptions=True)] == ["full"] * 2
    work.error = None
    assert (await cache.run("k", OTHER_BODY, work)).stored == 2


async def test_a_client_that_cancels_does_not_end_the_execution_of_others(work):
    cache = IdempotencyCache()
    first, second = (asyncio.create_task(cache.run("k", BODY, work)) for _ in range(2))
    await work.started.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    work.may_finish.set()
    assert (await second).stored == 1


async def test_an_execution_goes_on_when_its_only_client_left(work):
    cache = IdempotencyCache()
    client = asyncio.create_task(cache.run("k", BODY, work))
    await work.started.wait()
    client.cancel()
    await asyncio.gather(client, return_exceptions=True)
    work.may_finish.set()
    assert (await cache.run("k", BODY, work)).stored == 1


async def test_the_oldest_finished_answers_make_room_and_running_ones_stay(work):
    cache = IdempotencyCache(capacity=2)
    quick = Work()
    quick.may_finish.set()
    running = asyncio.create_task(cache.run("running", BODY, work))
    await work.started.wait()
    for key in ("one", "two", "three"):
        await cache.run(key, BODY, quick)
    await cache.run("one", BODY, quick)
    assert quick.runs == 4
    repeat = asyncio.create_task(cache.run("running", BODY, work))
    work.may_finish.set()
    assert await running == await repeat
    assert work.runs == 1


async def test_an_empty_key_is_never_remembered(work):
    work.may_finish.set()
    cache = IdempotencyCache()
    await cache.run("", BODY, work)
    await cache.run("", OTHER_BODY, work)
    assert work.runs == 2
