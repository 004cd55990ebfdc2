"""What scorers with a queue share: preparing in threads, batches of rows, the call's deadline."""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Generic, Literal, TypeVar

from services.reward.batcher import Batcher, BatchLimits, Prepared
from services.reward.known_scores import KnownScores
from services.reward.scorers.contract import (
    CallTiming,
    Outcome,
    ScoredCall,
    Scorer,
    ScorerInfo,
    ScoreStatus,
    ScoringCall,
    ScoringItem,
)
from services.reward.waiting import BatchRun, Row

P = TypeVar("P")

# Items prepared at a time: the first batch is computed while the next chunk is prepared.
_CHUNK = 64


# A score that was not computed for this call: known before, or on its way for another.
Reuse = Literal["known", "in_flight"]


@dataclass(frozen=True, slots=True)
class ScorerTools:
    """What the service lends to a scorer."""

    threads: Executor  # for preprocessing and other short blocking work
    limits: BatchLimits
    observe: Callable[[BatchRun], None]
    count_reused: Callable[[Reuse], None]
    max_known: int = 0  # scores kept by content


class BatchedScorer(Scorer, Generic[P]):
    """A scorer that says how to prepare one item and how to score a batch."""

    def __init__(self, info: ScorerInfo, tools: ScorerTools) -> None:
        super().__init__(info)
        self._threads = tools.threads
        self._max_known = tools.max_known
        self._known = KnownScores(tools.max_known)
        self._count_reused = tools.count_reused
        self._batcher: Batcher[P] = Batcher(
            self.execute, tools.limits, tools.observe, lambda: tools.count_reused("in_flight")
        )

    @abstractmethod
    def prepare(self, item: ScoringItem) -> Prepared[P]:
        """Runs in a thread. Raises ItemRejected or another ValueError for an invalid item."""

    @abstractmethod
    async def execute(self, batch: Sequence[P]) -> list[Outcome]:
        """One outcome per row, in order. What it raises fails the rows that raise it alone."""

    def content(self, item: ScoringItem) -> bytes | None:
        """What decides an item's score, as a hash; None where it may differ from time to time."""
        return None

    @property
    def queued_rows(self) -> int:
        """Rows that wait for a batch."""
        return self._batcher.queued_rows

    async def score(self, call: ScoringCall) -> ScoredCall:
        with self._batcher.room_for(len(call.items)):
            slots: list[Outcome | Row[P]] = []
            try:
                preprocess_s = await self._fill(slots, call)
                await _wait_for(slots, call.deadline_s)
            finally:  # a call that is cancelled takes along the rows that are its own
                for row in _rows(slots):
                    self._batcher.leave(row)
            self._remember(slots)
            return ScoredCall([_outcome_of(s) for s in slots], _timing_of(slots, preprocess_s))

    async def close(self) -> None:
        await self._batcher.close()

    async def _fill(self, slots: list[Outcome | Row[P]], call: ScoringCall) -> float:
        """Prepares and queues the items; returns the seconds that preparing took."""
        loop = asyncio.get_running_loop()
        preprocess_s = 0.0
        # The rows of a deterministic call are queued at once: nothing but the call shapes batches.
        size = max(1, len(call.items)) if call.deterministic else _CHUNK
        async for chunk in self._prepared(call.items, size, not call.deterministic):
            preprocess_s += chunk.end_s - chunk.start_s
            rows = iter(
                self._batcher.submit(
                    [one for one in chunk.items if isinstance(one, Prepared)],
                    call.lane,
                    alone=call.deterministic,
                )
            )
            slots += [next(rows) if isinstance(one, Prepared) else one for one in chunk.items]
            if call.deadline_s is not None and loop.time() > call.deadline_s:
                break
        late = Outcome.not_scored(ScoreStatus.TIMEOUT, "the call's deadline passed first")
        slots += [late] * (len(call.items) - len(slots))
        return preprocess_s

    def _remember(self, slots: Sequence[Outcome | Row[P]]) -> None:
        for row in _rows(slots):
            if row.content is not None and row.result.done() and not row.result.cancelled():
                self._known.put(row.content, row.result.result())

    async def _prepared(
        self, items: Sequence[ScoringItem], size: int, may_reuse: bool
    ) -> "AsyncIterator[_Chunk[P]]":
        loop = asyncio.get_running_loop()
        for start in range(0, len(items), size):
            begun_s = loop.time()
            prepared = await loop.run_in_executor(
                self._threads, self._prepare_all, items[start : start + size], may_reuse
            )
            yield _Chunk(prepared, begun_s, loop.time())

    def _prepare_all(
        self, items: Sequence[ScoringItem], may_reuse: bool
    ) -> list[Outcome | Prepared[P]]:
        return [self._prepare_one(item, may_reuse) for item in items]

    def _prepare_one(self, item: ScoringItem, may_reuse: bool) -> Outcome | Prepared[P]:
        content = self.content(item) if may_reuse and self._max_known else None
        known = self._known.get(content) if content is not None else None
        if known is not None:
            self._count_reused("known")
            return known
        try:
            return replace(self.prepare(item), content=content)
        except ValueError as error:
            return Outcome.not_scored(ScoreStatus.REJECTED, str(error))


@dataclass(frozen=True, slots=True)
class _Chunk(Generic[P]):
    items: list[Outcome | Prepared[P]]
    start_s: float
    end_s: float


def _rows(slots: Sequence[Outcome | Row[P]]) -> list[Row[P]]:
    return [slot for slot in slots if isinstance(slot, Row)]


async def _wait_for(slots: Sequence[Outcome | Row[P]], deadline_s: float | None) -> None:
    results = [row.result for row in _rows(slots)]
    if not results:
        return
    left_s = None
    if deadline_s is not None:
        left_s = max(0.0, deadline_s - asyncio.get_running_loop().time())
    await asyncio.wait(results, timeout=left_s)


def _outcome_of(slot: Outcome | Row[P]) -> Outcome:
    if isinstance(slot, Outcome):
        return slot
    if not slot.result.done() or slot.result.cancelled():  # another call may wait for it still
        return Outcome.not_scored(ScoreStatus.TIMEOUT, "the call's deadline passed first")
    return slot.result.result()


def _timing_of(slots: Sequence[Outcome | Row[P]], preprocess_s: float) -> CallTiming:
    rows = [row for row in _rows(slots) if row.run is not None]
    runs = {row.run for row in rows if row.run is not None}
    if not runs:
        return CallTiming(preprocess_s=preprocess_s)
    compute_s = sum(run.compute_s for run in runs)
    elapsed_s = max(run.end_s for run in runs) - min(row.queued_at_s for row in rows)
    return CallTiming(
        preprocess_s=preprocess_s,
        queue_s=max(0.0, elapsed_s - compute_s),
        compute_s=compute_s,
        num_tokens=sum(row.num_tokens for row in rows),
    )
