"""A batch and those that wait for it. Lanes never share a forward pass: one per resident version,
and one for each exclusive job, whose shapes so follow from the job alone.
"""

import heapq
import itertools
from collections.abc import Callable

import numpy as np

from services.policy.engine.batch import Batch, Ended, StepResult
from services.policy.engine.request import FinishReason, Job, Priority
from services.policy.engine.sequence import Pending, Sequence
from services.policy.engine.served_model import ServedModel


class Lane:
    """Admits by priority, then in order of arrival; prefill and decode steps take turns."""

    def __init__(
        self, served: ServedModel, max_rows: int, reserved_rows: int, max_prefill_tokens: int
    ) -> None:
        self.served = served
        self.batch = Batch(served, max_rows)
        self._reserved_rows = reserved_rows  # kept free for interactive jobs
        self._max_prefill_tokens = max_prefill_tokens
        self._waiting: list[tuple[Priority, int, Pending]] = []
        self._arrivals = itertools.count()
        self._was_prefill = False
        self.num_waiting = 0  # samples that have not begun

    @property
    def has_work(self) -> bool:
        return bool(self._waiting or self.batch.rows.count)

    def add(self, pending: Pending) -> None:
        """Queues sequences of one group."""
        entry = (pending.job.priority, next(self._arrivals), pending)
        heapq.heappush(self._waiting, entry)
        self.num_waiting += len(pending.sequences)

    def schedule(self) -> list[Pending]:
        """What to prefill in the next step; nothing means decode."""
        if self._was_prefill and self.batch.rows.count:
            return []
        chosen: list[Pending] = []
        num_rows, longest = self.batch.rows.count, 0
        while self._waiting:
            pending = self._waiting[0][2]
            num_rows += pending.num_rows
            longest = max(longest, len(pending.token_ids_L))
            is_costly = longest * (len(chosen) + 1) > self._max_prefill_tokens
            if num_rows > self._rows_for(pending.job.priority) or (chosen and is_costly):
                break
            chosen.append(heapq.heappop(self._waiting)[2])
            self.num_waiting -= len(pending.sequences)
        return chosen

    def num_positions(self, chosen: list[Pending]) -> int:
        """Tokens that the next step computes."""
        if not chosen:
            return self.batch.rows.count
        return sum(len(pending.token_ids_L) for pending in chosen)

    def run(self, chosen: list[Pending]) -> StepResult:
        """One step: prefill of `chosen`, or one token for all that runs."""
        self._was_prefill = bool(chosen)
        return self.batch.prefill(chosen) if chosen else self.batch.decode()

    def fail(self, involved: list[Sequence], error: str) -> StepResult:
        """Ends the sequences of a step that raised. The others of the lane go on."""
        rows = self.batch.rows
        failed = set(involved)
        left = [r for r in rows.sampled_rows(0).tolist() if rows.sequences[r] in failed]
        if left:
            self.batch.evict(np.array(left))
        ended = [Ended(sequence, FinishReason.FAILED, error) for sequence in involved]
        return StepResult([], ended, 0, 0)

    def running(self) -> list[Sequence]:
        """Sequences in the batch, each once."""
        rows = self.batch.rows
        return [rows.sequences[row] for row in rows.sampled_rows(0).tolist()]

    def take_out(self, is_leaving: Callable[[Job], bool]) -> list[Sequence]:
        """Removes the sequences of some jobs, waiting and running."""
        gone = [entry for entry in self._waiting if is_leaving(entry[2].job)]
        if gone:
            self._waiting = [entry for entry in self._waiting if not is_leaving(entry[2].job)]
            heapq.heapify(self._waiting)
        sequences = list(itertools.chain.from_iterable(entry[2].sequences for entry in gone))
        self.num_waiting -= len(sequences)
        rows = self.batch.rows
        leaving = [r for r in rows.sampled_rows(0).tolist() if is_leaving(rows.sequences[r].job)]
        if leaving:
            sequences += self.batch.evict(np.array(leaving))
        return sequences

    def _rows_for(self, priority: Priority) -> int:
        reserved = self._reserved_rows if priority is Priority.BATCH else 0
        return self.batch.rows.max_rows - reserved
