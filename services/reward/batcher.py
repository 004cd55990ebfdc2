"""Joins rows of many calls into batches for one scorer, one batch at a time.

A batch closes when it holds enough rows or padded tokens, or when its oldest row has waited for
`max_delay_s`; while a batch is computed the next one gathers, so a busy scorer never waits.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.common.errors import InvalidArgument, NotFound, ResourceExhausted
from services.common.logs import get_logger
from services.reward.scorers.contract import Lane, Outcome, ScoreStatus
from services.reward.waiting import BatchKey, BatchRun, Row, WaitingRows

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """When a batch closes and how much may wait."""

    max_rows: int
    max_padded_tokens: int
    max_delay_s: float
    max_queued_rows: int

    def rows_of(self, bucket: int) -> int:
        """Rows of a bucket that fit into one batch; one always does."""
        return max(1, min(self.max_rows, self.max_padded_tokens // max(1, bucket)))


@dataclass(frozen=True, slots=True)
class Prepared(Generic[P]):
    """An item as the scorer's `execute` takes it, and the padded length of its batch. Items of one
    `content` get one score."""

    value: P
    num_tokens: int = 0
    bucket: int = 0
    content: bytes | None = None


Execute = Callable[[Sequence[P]], Awaitable[list[Outcome]]]


class Batcher(Generic[P]):
    """The queue and the loop of one scorer. `execute` answers a batch in order."""

    def __init__(
        self,
        execute: Execute[P],
        limits: BatchLimits,
        observe: Callable[[BatchRun], None],
        on_joined: Callable[[], None] = lambda: None,
    ) -> None:
        """`observe` is told of each batch, `on_joined` of each item that was on its way already."""
        self._execute = execute
        self._limits = limits
        self._observe = observe
        self._on_joined = on_joined
        self._waiting: WaitingRows[P] = WaitingRows()
        self._by_content: dict[bytes, Row[P]] = {}  # that are not answered yet
        self._arrived = asyncio.Event()
        self._calls = itertools.count()
        self._admitted_rows = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self._loop_task: asyncio.Task[None] | None = None

    @property
    def queued_rows(self) -> int:
        """Rows that wait, not counting those that are being computed."""
        return len(self._waiting)

    @contextmanager
    def room_for(self, num_rows: int) -> Iterator[None]:
        """Holds place for a call's rows until it is answered. Raises ResourceExhausted."""
        limit = self._limits.max_queued_rows
        if self._closed:
            raise NotFound("the scorer has been unloaded")
        if num_rows > limit:
            raise InvalidArgument(f"{num_rows} items in one call; send at most {limit}")
        if self._admitted_rows + num_rows > limit:
            raise ResourceExhausted(
                f"{self._admitted_rows} of {limit} places are taken; try {num_rows} items later"
            )
        self._admitted_rows += num_rows
        self._idle.clear()
        try:
            yield
        finally:
            self._admitted_rows -= num_rows
            if not self._admitted_rows:
                self._idle.set()

    def submit(self, prepared: Sequence[Prepared[P]], lane: Lane, alone: bool) -> list[Row[P]]:
        """Queues rows, but for those whose like is on its way already. With `alone` their batches
        hold them only, in an order they alone fix."""
        if self._loop_task is None:
            self._loop_task = asyncio.create_task(self._run())
        call = next(self._calls) if alone else None
        rows = [self._row(one, lane, call) for one in prepared]
        self._arrived.set()
        return rows

    def leave(self, row: Row[P]) -> None:
        """A call is done with a row; when the last one leaves, what is not computed never is."""
        row.num_calls -= 1
        if not row.num_calls:
            row.result.cancel()

    async def close(self) -> None:
        """Admits nothing more, waits for what was admitted, ends the loop."""
        self._closed = True
        await self._idle.wait()
        if self._loop_task is not None:
            self._loop_task.cancel()
            await asyncio.gather(self._loop_task, return_exceptions=True)

    def _row(self, one: Prepared[P], lane: Lane, call: int | None) -> Row[P]:
        joined = self._joined(one, lane) if call is None else None
        return joined or self._queued(one, lane, call)

    def _joined(self, one: Prepared[P], lane: Lane) -> Row[P] | None:
        """The row of another call that asks the same, and is as urgent."""
        row = self._by_content.get(one.content) if one.content is not None else None
        if row is None or row.lane > lane or row.result.done():
            return None
        row.num_calls += 1
        self._on_joined()
        return row

    def _queued(self, one: Prepared[P], lane: Lane, call: int | None) -> Row[P]:
        loop = asyncio.get_running_loop()
        row = Row(
            prepared=one.value,
            num_tokens=one.num_tokens,
            key=BatchKey(one.bucket, call),
            lane=lane,
            queued_at_s=loop.time(),
            result=loop.create_future(),
            content=one.content,
        )
        if one.content is not None and call is None:
            content = one.content
            self._by_content[content] = row
            row.result.add_done_callback(lambda _: self._forget(content, row))
        self._waiting.add(row)
        return row

    def _forget(self, content: bytes, row: Row[P]) -> None:
        if self._by_content.get(content) is row:
            del self._by_content[content]

    async def _run(self) -> None:
        while True:
            batch = await self._next_batch()
            if batch:
                await self._compute(batch)

    async def _next_batch(self) -> list[Row[P]]:
        while (head := self._waiting.head()) is None:
            self._arrived.clear()
            await self._arrived.wait()
        at_most = self._limits.rows_of(head.key.bucket)
        if head.key.call is None:
            await self._gather(head, at_most)
        return self._waiting.take(head.key, at_most)

    async def _gather(self, head: Row[P], at_most: int) -> None:
        """Returns when the batch is full or its head has waited long enough."""
        loop = asyncio.get_running_loop()
        close_at_s = head.queued_at_s + self._limits.max_delay_s
        while self._waiting.count(head.key, at_most) < at_most and loop.time() < close_at_s:
            self._arrived.clear()
            try:
                async with asyncio.timeout_at(close_at_s):
                    await self._arrived.wait()
            except TimeoutError:
                return

    async def _compute(self, batch: list[Row[P]]) -> None:
        try:
            await self._compute_once(batch)
        except Exception as error:
            get_logger(__name__).error("batch failed", rows=len(batch), exc_info=error)
            if len(batch) == 1:
                _settle(batch[0], _failed(error))
                return
            for row in batch:  # one bad row must not take the others' scores with it
                await self._compute([row])

    async def _compute_once(self, batch: list[Row[P]]) -> None:
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        outcomes = await self._execute([row.prepared for row in batch])
        run = BatchRun(
            start_s=start_s,
            end_s=loop.time(),
            num_rows=len(batch),
            num_tokens=sum(row.num_tokens for row in batch),
            padded_tokens=batch[0].key.bucket * len(batch),
        )
        self._observe(run)
        for row, outcome in zip(batch, outcomes, strict=True):
            row.run = run
            _settle(row, outcome)


def _settle(row: Row[P], outcome: Outcome) -> None:
    if not row.result.done():  # its call may have left meanwhile
        row.result.set_result(outcome)


def _failed(error: Exception) -> Outcome:
    return Outcome.not_scored(ScoreStatus.FAILED, f"the scorer raised {type(error).__name__}")
