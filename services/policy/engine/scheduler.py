"""Which lane takes the next step: those with work, in turn.

Exclusive jobs run one at a time, each in a lane of its own, which alternates with the others, so
that applications wait for a step of a rollout and not for its end.
"""

import time
from collections import deque
from collections.abc import Callable

from services.policy.engine.lane import Lane
from services.policy.engine.limits import EngineLimits
from services.policy.engine.request import Job
from services.policy.engine.sequence import Pending, Sequence, pending_group
from services.policy.engine.served_model import ServedModel


class Scheduler:
    """Used on the engine's thread only; the two counts may be read from anywhere."""

    def __init__(self, limits: EngineLimits) -> None:
        self._limits = limits
        self._shared: dict[str, Lane] = {}  # by version
        self._exclusive: Lane | None = None
        self._exclusive_waiting: deque[Job] = deque()
        self._last: Lane | None = None
        self.jobs: set[Job] = set()

    @property
    def lanes(self) -> list[Lane]:
        exclusive = [self._exclusive] if self._exclusive else []
        return [*self._shared.values(), *exclusive]

    @property
    def num_waiting(self) -> int:
        """Samples that have not begun."""
        queued = sum(job.num_samples for job in tuple(self._exclusive_waiting))
        return queued + sum(lane.num_waiting for lane in self.lanes)

    @property
    def num_running(self) -> int:
        """Rows in batches."""
        return sum(lane.batch.rows.count for lane in self.lanes)

    def add(self, job: Job) -> None:
        """Queues all groups of a job."""
        self.jobs.add(job)
        if job.is_exclusive:
            self._exclusive_waiting.append(job)
        else:
            self._enqueue(job, self._lane(job.model))

    def next_lane(self) -> Lane | None:
        """The next lane in turn that has work."""
        self._open_exclusive()
        lanes = self.lanes
        start = lanes.index(self._last) + 1 if self._last in lanes else 0
        for lane in (*lanes[start:], *lanes[:start]):
            if lane.has_work:
                self._last = lane
                return lane
        return None

    def take_out(self, is_leaving: Callable[[Job], bool]) -> list[Sequence]:
        """Removes what some jobs still have waiting or running."""
        sequences = [s for lane in self.lanes for s in lane.take_out(is_leaving)]
        for job in [job for job in self._exclusive_waiting if is_leaving(job)]:
            self._exclusive_waiting.remove(job)
            for group in job.groups:
                sequences += pending_group(job, group).sequences
        return sequences

    def switch_version(self, jobs: set[Job], served: ServedModel) -> None:
        """Lets jobs go on under another version, which recomputes their cache (DESIGN law 2)."""
        sequences = self.take_out(jobs.__contains__)
        for job in jobs:
            job.model = served
        for sequence in sequences:
            self._lane(served).add(Pending((sequence,)))

    def drop_version(self, version: str) -> None:
        """Frees the lane of a version that nothing uses any more."""
        self._shared.pop(version, None)

    def expired(self) -> set[Job]:
        """Jobs whose deadline has passed."""
        now_s = time.monotonic()
        return {job for job in self.jobs if job.deadline_s is not None and job.deadline_s <= now_s}

    def _open_exclusive(self) -> None:
        if self._exclusive and not self._exclusive.has_work:
            self._exclusive = None
        if self._exclusive is None and self._exclusive_waiting:
            job, limits = self._exclusive_waiting.popleft(), self._limits
            self._exclusive = Lane(job.model, limits.max_rows, 0, limits.max_prefill_tokens)
            self._enqueue(job, self._exclusive)

    def _lane(self, served: ServedModel) -> Lane:
        if served.version not in self._shared:
            reserved, limits = self._limits.reserved_rows, self._limits
            self._shared[served.version] = Lane(
                served, limits.max_rows + reserved, reserved, limits.max_prefill_tokens
            )
        return self._shared[served.version]

    def _enqueue(self, job: Job, lane: Lane) -> None:
        for group in job.groups:
            lane.add(pending_group(job, group))
