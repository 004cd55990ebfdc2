"""What scorers with a queue share: preparing in threads, batches of rows, the call's deadline."""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.reward.batcher import Batcher, BatchLimits, Prepared
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


@dataclass(frozen=True, slots=True)
class ScorerTools:
    """What the service lends to a scorer."""

    threads: Executor  # for preprocessing and other short blocking work
    limits: BatchLimits
    observe: Callable[[BatchRun], None]


class BatchedScorer(Scorer, Generic[P]):
    """A scorer that says how to prepare one item and how to score a batch."""

    def __init__(self, info: ScorerInfo, tools: ScorerTools) -> None:
        super().__init__(info)
        self._threads = tools.threads
        self._batcher: Batcher[P] = Batcher(self.execute, tools.limits, tools.observe)

    @abstractmethod
    def prepare(self, item: ScoringItem) -> Prepared[P]:
        """Runs in a thread. Raises ItemRejected or another ValueError for an invalid item."""

    @abstractmethod
    async def execute(self, batch: Sequence[P]) -> list[Outcome]:
        """One outcome per row, in order. What it raises fails the rows that raise it alone."""

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
            finally:  # a call that is cancelled takes its rows along
                for slot in slots:
                    if isinstance(slot, Row):
                        slot.result.cancel()
            return ScoredCall([_outcome_of(s) for s in slots], _timing_of(slots, preprocess_s))

    async def close(self) -> None:
        await self._batcher.close()

    async def _fill(self, slots: list[Outcome | Row[P]], call: ScoringCall) -> float:
        """Prepares and queues the items; returns the seconds that preparing took."""
        loop = asyncio.get_running_loop()
        preprocess_s = 0.0
        # The rows of a deterministic call are queued at once: nothing but the call shapes batches.
        size = max(1, len(call.items)) if call.deterministic else _CHUNK
        async for chunk in self._prepared(call.items, size):
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

    async def _prepared(
        self, items: Sequence[ScoringItem], size: int
    ) -> "AsyncIterator[_Chunk[P]]":
        loop = asyncio.get_running_loop()
        for start in range(0, len(items), size):
            begun_s = loop.time()
            prepared = await loop.run_in_executor(
                self._threads, self._prepare_all, items[start : start + size]
            )
            yield _Chunk(prepared, begun_s, loop.time())

    def _prepare_all(self, items: Sequence[ScoringItem]) -> list[Outcome | Prepared[P]]:
        return [self._prepare_one(item) for item in items]

    def _prepare_one(self, item: ScoringItem) -> Outcome | Prepared[P]:
        try:
            return self.prepare(item)
        except ValueError as error:
            return Outcome.not_scored(ScoreStatus.REJECTED, str(error))


@dataclass(frozen=True, slots=True)
class _Chunk(Generic[P]):
    items: list[Outcome | Prepared[P]]
    start_s: float
    end_s: float


async def _wait_for(slots: Sequence[Outcome | Row[P]], deadline_s: float | None) -> None:
    results = [slot.result for slot in slots if isinstance(slot, Row)]
    if not results:
        return
    left_s = None
    if deadline_s is not None:
        left_s = max(0.0, deadline_s - asyncio.get_running_loop().time())
    await asyncio.wait(results, timeout=left_s)


def _outcome_of(slot: Outcome | Row[P]) -> Outcome:
    if isinstance(slot, Outcome):
        return slot
    if slot.result.cancelled():
        return Outcome.not_scored(ScoreStatus.TIMEOUT, "the call's deadline passed first")
    return slot.result.result()


def _timing_of(slots: Sequence[Outcome | Row[P]], preprocess_s: float) -> CallTiming:
    rows = [slot for slot in slots if isinstance(slot, Row) and slot.run is not None]
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
