"""A version's batch and those that wait for it. Lanes never share a forward pass."""

import heapq
import itertools
import time
from collections.abc import Callable

import numpy as np

from services.policy.engine.batch import Batch
from services.policy.engine.limits import EngineLimits
from services.policy.engine.prefill import Prefill
from services.policy.engine.request import FinishReason, Job, Priority
from services.policy.engine.sequence import Pending, Sequence
from services.policy.engine.served_model import ServedModel
from services.policy.engine.step_result import Ended, StepResult

Waiting = tuple[tuple[Priority, int], int, Pending]


class Lane:
    """Admits by priority, then in order of arrival."""

    def __init__(self, served: ServedModel, batch: Batch, reserved_rows: int) -> None:
        self.served = served
        self.batch = batch
        self._reserved_rows = reserved_rows  # kept free for interactive jobs
        self._waiting: list[Waiting] = []
        self._prepared: Prefill | None = None  # of who comes next, until there are pages for it
        self._numbers = itertools.count()
        self.num_waiting = 0  # samples that have not begun, or gave way
        self.used_s = 0.0  # time that it had, by its weight

    @property
    def has_work(self) -> bool:
        return bool(self._waiting or self.batch.has_work)

    def add(self, pending: Pending) -> None:
        """Queues sequences of one group; those that had a place keep it."""
        heapq.heappush(self._waiting, (pending.order, next(self._numbers), pending))
        self.num_waiting += len(pending.sequences)

    def step(self, limits: EngineLimits) -> StepResult:
        """Admits what fits, and has the batch make a step."""
        failed = self._admit()
        result = self.batch.step(limits.max_prefill_tokens, limits.max_drafted_rows)
        for pending, error in failed:
            reason = f"{type(error).__name__}: {error}"
            result.ended += [Ended(s, FinishReason.FAILED, reason) for s in pending.sequences]
            result.errors.append(error)
        for pending in result.preempted:
            self.add(pending)
        return result

    def fail(self, error: str) -> StepResult:
        """Ends all that a step which raised was about. What waits goes on."""
        sequences = self.batch.clear()
        return StepResult(ended=[Ended(s, FinishReason.FAILED, error) for s in sequences])

    def take_out(self, is_leaving: Callable[[Job], bool]) -> list[Sequence]:
        """Removes the sequences of some jobs, waiting and running."""
        self._prepared = None
        gone = [entry for entry in self._waiting if is_leaving(entry[2].job)]
        if gone:
            self._waiting = [entry for entry in self._waiting if not is_leaving(entry[2].job)]
            heapq.heapify(self._waiting)
        sequences = list(itertools.chain.from_iterable(entry[2].sequences for entry in gone))
        self.num_waiting -= len(sequences)
        batch = self.batch
        sequences += batch.drop([p for p in batch.prefills if is_leaving(p.pending.job)])
        rows = batch.rows
        leaving = [r for r in rows.sampled_rows.tolist() if is_leaving(rows.sequences[r].job)]
        return sequences + (batch.evict(np.array(leaving)) if leaving else [])

    def _admit(self) -> list[tuple[Pending, Exception]]:
        """Takes in who comes next, as long as there are rows and pages for them."""
        failed: list[tuple[Pending, Exception]] = []
        while self._waiting:
            pending = self._waiting[0][2]
            try:
                if not self._has_rows(pending) or not self._begins(pending):
                    break
            except Exception as error:  # of its media alone; the others go on
                failed.append((pending, error))
            heapq.heappop(self._waiting)
            self.num_waiting -= len(pending.sequences)
            clock = pending.job.clock
            clock.admitted_s = clock.admitted_s or time.monotonic()
        return failed

    def _begins(self, pending: Pending) -> bool:
        """Whether there are pages for it; it is prepared once, however long it waits for them."""
        if self._prepared is None or self._prepared.pending is not pending:
            self._prepared = self.batch.prepare(pending)
        is_admitted = self.batch.admit(self._prepared)
        if is_admitted:
            self._prepared = None
        return is_admitted

    def _has_rows(self, pending: Pending) -> bool:
        is_batch = pending.job.priority is Priority.BATCH
        max_rows = self.batch.rows.max_rows - (self._reserved_rows if is_batch else 0)
        return self.batch.num_rows + pending.num_rows <= max_rows
