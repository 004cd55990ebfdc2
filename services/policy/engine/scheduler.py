"""Which version takes the next step: the one that had least time of late, by weight.

A version that an application waits for weighs more than one that rolls out for training.
Method: start-time fair queueing (Goyal, Vin and Cheng 1996).
"""

import itertools
import time
from collections.abc import Callable

from services.policy.engine.batch import Batch
from services.policy.engine.encoders import FeatureCache
from services.policy.engine.lane import Lane
from services.policy.engine.limits import EngineLimits
from services.policy.engine.memory import CacheMemory, cache_memory
from services.policy.engine.native.packed import Crew
from services.policy.engine.request import Job, Priority
from services.policy.engine.sequence import Pending, Sequence, pending_group
from services.policy.engine.served_model import ServedModel

_Shape = tuple[str, int, int, int]


class Scheduler:
    """Used on the engine's thread only; the counts may be read from anywhere."""

    def __init__(self, limits: EngineLimits, crew: Crew) -> None:
        self._limits = limits
        self._crew = crew
        self._lanes: dict[str, Lane] = {}  # by version
        self._memories: dict[_Shape, CacheMemory] = {}
        self.features = FeatureCache(limits.feature_cache_bytes)
        self._arrivals = itertools.count()
        self._used_s = 0.0  # of the lane whose turn it was last
        self.jobs: set[Job] = set()

    @property
    def lanes(self) -> list[Lane]:
        return list(self._lanes.values())

    @property
    def memories(self) -> list[CacheMemory]:
        """Of each shape of decoder that was served."""
        return list(self._memories.values())

    @property
    def num_waiting(self) -> int:
        """Samples that have not begun."""
        return sum(lane.num_waiting for lane in self.lanes)

    @property
    def num_running(self) -> int:
        """Rows in batches."""
        return sum(lane.batch.num_rows for lane in self.lanes)

    def add(self, job: Job) -> None:
        """Queues all groups of a job."""
        self.jobs.add(job)
        for group in job.groups:
            self._queue(job.model, pending_group(job, group, next(self._arrivals)))

    def next_lane(self) -> Lane | None:
        """The lane with work whose turn it is."""
        working = [lane for lane in self.lanes if lane.has_work]
        lane = min(working, key=lambda lane: lane.used_s, default=None)
        if lane is not None:
            self._used_s = lane.used_s
        return lane

    def charge(self, lane: Lane, duration_s: float) -> None:
        """Counts the time of a step."""
        is_waited_for = any(
            job.model is lane.served and job.priority is Priority.INTERACTIVE for job in self.jobs
        )
        lane.used_s += duration_s / (self._limits.interactive_weight if is_waited_for else 1)

    def take_out(self, is_leaving: Callable[[Job], bool]) -> list[Sequence]:
        """Removes what some jobs still have waiting or running."""
        return [s for lane in self.lanes for s in lane.take_out(is_leaving)]

    def switch_version(self, jobs: set[Job], served: ServedModel) -> None:
        """Lets jobs go on under another version, which recomputes their cache (DESIGN law 2)."""
        sequences = self.take_out(jobs.__contains__)
        for job in jobs:
            job.model = served
        for sequence in sequences:
            self._queue(served, Pending((sequence,)))

    def drop_version(self, version: str) -> None:
        """Frees all that is kept of a version which nothing uses any more."""
        self._lanes.pop(version, None)
        self.features.forget(version)
        for memory in self.memories:
            memory.pool.forget(version)

    def expired(self) -> set[Job]:
        """Jobs whose deadline has passed."""
        now_s = time.monotonic()
        return {job for job in self.jobs if job.deadline_s is not None and job.deadline_s <= now_s}

    def check(self) -> None:
        """AssertionError where the books of the cache do not balance."""
        for memory in self.memories:
            memory.pool.check()
            assert self.num_running or not memory.pool.num_used, "pages are held by nobody"

    def _queue(self, served: ServedModel, pending: Pending) -> None:
        lane = self._lane(served)
        if not lane.has_work:  # what it did not use while it had nothing to do is not owed to it
            lane.used_s = max(lane.used_s, self._used_s)
        lane.add(pending)

    def _lane(self, served: ServedModel) -> Lane:
        if served.version not in self._lanes:
            limits = self._limits
            memory = self._memory(served)
            executor = served.weights.executor(self._crew, memory.cache)
            max_rows = limits.max_rows + limits.reserved_rows
            batch = Batch(served, executor, memory.pool, self.features, max_rows)
            self._lanes[served.version] = Lane(served, batch, limits.reserved_rows)
        return self._lanes[served.version]

    def _memory(self, served: ServedModel) -> CacheMemory:
        weights, config = served.weights, served.model.config.decoder
        shape = (weights.cache_kind, config.num_layers, config.num_kv_heads, config.head_size)
        if shape not in self._memories:
            limits = self._limits
            self._memories[shape] = cache_memory(
                weights, config, limits.cache_bytes, limits.prefix_cache_bytes
            )
        return self._memories[shape]
