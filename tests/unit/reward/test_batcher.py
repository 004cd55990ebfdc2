"""The batcher: when batches close, who goes first, who leaves, what is never merged."""

import asyncio
from collections.abc import Sequence

import pytest

from services.common.errors import InvalidArgument, NotFound, ResourceExhausted
from services.reward.batcher import Batcher, BatchLimits, Prepared
from services.reward.scorers.contract import Lane, Outcome, ScoreStatus
from services.reward.waiting import BatchRun, Row


class Engine:
    """Scores a number by itself, in batches that the test holds back and looks at."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.entered = asyncio.Event()

    async def execute(self, batch: Sequence[int]) -> list[Outcome]:
        self.entered.set()
        await self.open.wait()
        if -1 in batch:
            raise RuntimeError("a row that breaks its batch")
        self.batches.append(list(batch))
        return [Outcome.scored(float(value)) for value in batch]

    async def hold(self, batcher: Batcher[int]) -> Row[int]:
        """Keeps the batcher busy with a row of its own, so that others queue up."""
        self.open.clear()
        [row] = submit(batcher, [0], bucket=1)
        await self.entered.wait()
        return row


def make(engine: Engine, observed: list[BatchRun] | None = None, **limits: float) -> Batcher[int]:
    values = {"max_rows": 4, "max_padded_tokens": 100, "max_delay_s": 0.0, "max_queued_rows": 16}
    return Batcher(
        engine.execute,
        BatchLimits(**(values | limits)),
        ([] if observed is None else observed).append,
    )


def submit(
    batcher: Batcher[int],
    values: list[int],
    bucket: int = 10,
    lane: Lane = Lane.TRAINING,
    alone: bool = False,
    content: bytes | None = None,
) -> list[Row[int]]:
    prepared = [Prepared(v, num_tokens=8, bucket=bucket, content=content) for v in values]
    return batcher.submit(prepared, lane, alone)


async def rewards(rows: list[Row[int]]) -> list[float | None]:
    async with asyncio.timeout(5):
        return [(await row.result).reward for row in rows]


async def test_rows_that_wait_share_batches_of_at_most_max_rows() -> None:
    engine = Engine()
    batcher = make(engine)
    await engine.hold(batcher)
    rows = submit(batcher, [1, 2, 3]) + submit(batcher, [4, 5, 6])
    engine.open.set()
    assert await rewards(rows) == [1, 2, 3, 4, 5, 6]
    assert engine.batches == [[0], [1, 2, 3, 4], [5, 6]]


async def test_a_batch_closes_at_its_padded_tokens_and_holds_one_row_at_least() -> None:
    engine = Engine()
    batcher = make(engine)
    await engine.hold(batcher)
    rows = submit(batcher, [1, 2, 3], bucket=50) + submit(batcher, [4, 5], bucket=400)
    engine.open.set()
    await rewards(rows)
    assert engine.batches == [[0], [1, 2], [3], [4], [5]]


async def test_rows_of_other_lengths_are_not_padded_together() -> None:
    engine = Engine()
    batcher = make(engine)
    await engine.hold(batcher)
    rows = submit(batcher, [1], bucket=10) + submit(batcher, [2], bucket=20)
    rows += submit(batcher, [3], bucket=10)
    engine.open.set()
    await rewards(rows)
    assert engine.batches == [[0], [1, 3], [2]]


async def test_an_idle_batcher_waits_for_company_no_longer_than_its_delay() -> None:
    engine = Engine()
    batcher = make(engine, max_delay_s=0.2)
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    [first] = submit(batcher, [1])
    await asyncio.sleep(0)
    [second] = submit(batcher, [2])
    await rewards([first, second])
    assert engine.batches == [[1, 2]]
    assert 0.15 < loop.time() - start_s < 2


async def test_a_full_batch_does_not_wait_for_the_delay() -> None:
    engine = Engine()
    batcher = make(engine, max_delay_s=60.0)
    assert await rewards(submit(batcher, [1, 2, 3, 4])) == [1, 2, 3, 4]


async def test_urgent_lanes_go_first_and_lower_ones_fill_the_batch() -> None:
    engine = Engine()
    batcher = make(engine)
    await engine.hold(batcher)
    rows = submit(batcher, [1, 2], lane=Lane.BACKFILL)
    rows += submit(batcher, [3, 4], lane=Lane.TRAINING)
    rows += submit(batcher, [5], lane=Lane.INTERACTIVE)
    engine.open.set()
    await rewards(rows)
    assert engine.batches == [[0], [5, 3, 4, 1], [2]]


async def test_deterministic_rows_are_never_merged_with_others() -> None:
    engine = Engine()
    batcher = make(engine)
    await engine.hold(batcher)
    rows = submit(batcher, [1]) + submit(batcher, [2, 3, 4, 5, 6], alone=True)
    rows += submit(batcher, [7]) + submit(batcher, [8], alone=True)
    engine.open.set()
    await rewards(rows)
    assert engine.batches == [[0], [1, 7], [2, 3, 4, 5], [6], [8]]


async def test_cancelled_rows_leave_before_they_are_computed() -> None:
    engine = Engine()
    batcher = make(engine)
    await engine.hold(batcher)
    rows = submit(batcher, [1, 2, 3])
    rows[1].result.cancel()
    assert batcher.queued_rows == 2
    engine.open.set()
    await rewards([rows[0], rows[2]])
    assert engine.batches == [[0], [1, 3]]


async def test_a_row_that_breaks_its_batch_fails_alone() -> None:
    engine = Engine()
    batcher = make(engine)
    await engine.hold(batcher)
    rows = submit(batcher, [1, -1, 2])
    engine.open.set()
    assert await rewards(rows) == [1, None, 2]
    assert rows[1].result.result().status is ScoreStatus.FAILED


async def test_a_full_queue_refuses_and_takes_again_when_a_call_has_ended() -> None:
    batcher = make(Engine())
    with batcher.room_for(10):
        with pytest.raises(ResourceExhausted, match="10 of 16"), batcher.room_for(7):
            pass
        with batcher.room_for(6):
            pass
    with batcher.room_for(16):
        pass


async def test_a_call_that_can_never_fit_is_invalid() -> None:
    with pytest.raises(InvalidArgument, match="at most 16"), make(Engine()).room_for(17):
        pass


async def test_closing_waits_for_admitted_calls_and_admits_no_more() -> None:
    engine = Engine()
    batcher = make(engine)
    with batcher.room_for(1):
        row = await engine.hold(batcher)
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        with pytest.raises(NotFound, match="unloaded"), batcher.room_for(1):
            pass
        engine.open.set()
        assert await rewards([row]) == [0]
        assert not closing.done()
    await closing


async def test_each_batch_is_observed_with_its_padding() -> None:
    engine, observed = Engine(), []
    await rewards(submit(make(engine, observed), [1, 2, 3], bucket=10))
    [run] = observed
    assert (run.num_rows, run.num_tokens, run.padded_tokens) == (3, 24, 30)


async def test_items_of_one_content_are_computed_once() -> None:
    engine = Engine()
    joined: list[None] = []
    limits = BatchLimits(4, 100, 0.0, 16)
    batcher = Batcher(engine.execute, limits, lambda run: None, lambda: joined.append(None))
    held = await engine.hold(batcher)
    first = submit(batcher, [7, 7], content=b"seven")
    second = submit(batcher, [7, 8], content=b"seven")
    other = submit(batcher, [7])
    engine.open.set()
    assert await rewards([held, *first, *second, *other]) == [0, 7, 7, 7, 7, 7]
    assert [value for batch in engine.batches for value in batch].count(7) == 2
    assert len(joined) == 3
    again = submit(batcher, [9], content=b"seven")
    assert await rewards(again) == [9]  # the first ones are answered; this is for the cache to know
    await batcher.close()


async def test_a_shared_row_is_dropped_when_the_last_call_leaves() -> None:
    engine = Engine()
    batcher = make(engine)
    held = await engine.hold(batcher)
    [left], [kept] = (submit(batcher, [5], content=b"five") for _ in range(2))
    assert left is kept
    batcher.leave(left)
    assert not kept.result.cancelled()
    [gone] = submit(batcher, [6], content=b"six")
    batcher.leave(gone)
    assert gone.result.cancelled()
    engine.open.set()
    assert await rewards([held, kept]) == [0, 5]
    assert engine.batches == [[0], [5]]
    await batcher.close()


async def test_an_urgent_item_does_not_wait_with_its_like() -> None:
    engine = Engine()
    batcher = make(engine)
    held = await engine.hold(batcher)
    [slow] = submit(batcher, [5], lane=Lane.BACKFILL, content=b"five")
    [fast] = submit(batcher, [5], lane=Lane.INTERACTIVE, content=b"five")
    [fixed] = submit(batcher, [5], alone=True, content=b"five")
    assert len({id(row) for row in (slow, fast, fixed)}) == 3
    engine.open.set()
    assert await rewards([held, slow, fast, fixed]) == [0, 5, 5, 5]
    await batcher.close()
