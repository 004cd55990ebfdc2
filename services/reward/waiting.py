"""The rows that wait for a batch: by lane, then by batch key, oldest first. Used by the batcher.

Rows of one key can share a batch: they have one length bucket; in a deterministic call, one call.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from services.reward.scorers.contract import Lane, Outcome

P = TypeVar("P")


class BatchKey(NamedTuple):
    """`bucket` is the padded length in tokens; `call` is set where rows must not be merged."""

    bucket: int
    call: int | None = None


@dataclass(frozen=True, slots=True)
class BatchRun:
    """One execution, in the event loop's time."""

    start_s: float
    end_s: float
    num_rows: int
    num_tokens: int
    padded_tokens: int

    @property
    def compute_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(slots=True, eq=False)
class Row(Generic[P]):
    """A prepared item on its way, for one call or for several that ask the same. Cancelling
    `result` takes it out of the queue."""

    prepared: P
    num_tokens: int
    key: BatchKey
    lane: Lane
    queued_at_s: float
    result: asyncio.Future[Outcome]
    content: bytes | None = None
    num_calls: int = 1
    run: BatchRun | None = field(default=None)


class WaitingRows(Generic[P]):
    """First the most urgent lane, in it the oldest row, with it all that can share its batch."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, dict[BatchKey, deque[Row[P]]]] = {lane: {} for lane in Lane}

    def __len__(self) -> int:
        return sum(1 for row in self._rows() if not row.result.done())

    def add(self, row: Row[P]) -> None:
        """Queues a row behind those of its lane and key."""
        self._lanes[row.lane].setdefault(row.key, deque()).append(row)

    def head(self) -> Row[P] | None:
        """The row whose turn it is; rows that were cancelled are forgotten on the way."""
        for keyed in self._lanes.values():
            for key in list(keyed):
                _drop_cancelled(keyed[key])
                if not keyed[key]:
                    del keyed[key]
            if keyed:
                return min((rows[0] for rows in keyed.values()), key=lambda r: r.queued_at_s)
        return None

    def count(self, key: BatchKey, at_most: int) -> int:
        """Rows of a key in all lanes, counted up to `at_most`."""
        return min(at_most, sum(len(keyed.get(key, ())) for keyed in self._lanes.values()))

    def take(self, key: BatchKey, at_most: int) -> list[Row[P]]:
        """Removes the next rows of a key: urgent lanes first, in each the oldest."""
        taken: list[Row[P]] = []
        for keyed in self._lanes.values():
            rows = keyed.get(key, deque())
            while rows and len(taken) < at_most:
                row = rows.popleft()
                if not row.result.done():
                    taken.append(row)
        return taken

    def _rows(self) -> Iterator[Row[P]]:
        for keyed in self._lanes.values():
            for rows in keyed.values():
                yield from rows


def _drop_cancelled(rows: deque[Row[P]]) -> None:
    while rows and rows[0].result.done():
        rows.popleft()
