"""The engine's thread: schedule, run, postprocess, again. One step belongs to one lane.

The service submits jobs and hears of them through their sinks; nothing else crosses the threads.
Method: continuous batching (Orca, Yu et al. 2022), with lanes instead of mixed versions.
"""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Protocol

import torch

from services.policy.engine.encoders import FeatureCache
from services.policy.engine.lane import Lane
from services.policy.engine.limits import (
    EngineLimits,
    EngineStoppedError,
    QueueFullError,
    check_job,
)
from services.policy.engine.native.packed import Crew
from services.policy.engine.pages import PAGE_TOKENS
from services.policy.engine.request import Event, FinishReason, Job, Sample
from services.policy.engine.scheduler import Scheduler
from services.policy.engine.served_model import ServedModel
from services.policy.engine.step_result import Ended, StepResult


class EngineObserver(Protocol):
    """Told of what happens, on the engine's thread; the service makes metrics of it."""

    def on_step(self, duration_s: float, result: StepResult) -> None:
        """A forward pass is done."""

    def on_first_token(self, job: Job) -> None:
        """A job got its first token."""

    def on_sample(self, job: Job, sample: Sample) -> None:
        """A sample ended."""

    def on_error(self, error: Exception) -> None:
        """A step failed; the sequences concerned ended with FAILED."""


class Engine:
    """Runs from `start` to `stop`. All public methods may be called from any thread."""

    def __init__(self, limits: EngineLimits, observer: EngineObserver) -> None:
        self.limits = limits
        self._observer = observer
        self._crew = Crew(torch.get_num_threads())
        self._num_lent = 0  # of the crew's threads
        self._scheduler = Scheduler(limits, self._crew)
        self._commands: deque[Callable[[], None]] = deque()
        self._wake = threading.Condition()
        self._num_arriving = 0  # samples submitted that the thread has not seen yet
        self._is_stopping = False
        self._thread = threading.Thread(target=self._main, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends after the current step; what is unfinished ends as cancelled."""
        with self._wake:
            self._is_stopping = True
            self._wake.notify()
        self._thread.join()

    def submit(self, job: Job) -> None:
        """Queues a job. Raises GroupError, QueueFullError, EngineStoppedError."""
        check_job(job, self.limits)
        with self._wake:
            waiting, limit = self.num_waiting, self.limits.max_waiting_samples
            if waiting and waiting + job.num_samples > limit:
                raise QueueFullError(f"{waiting} samples wait; at most {limit} may; try later")
            self._num_arriving += job.num_samples
        if not self._command(lambda: self._accept(job)):
            raise EngineStoppedError("the engine has stopped")

    def cancel(self, job: Job) -> None:
        """Frees all rows of a job before the next step."""
        self._command(lambda: self._end_jobs({job}, "cancelled"))

    def drop_version(self, version: str) -> None:
        """Frees what a version holds here, once nothing runs on it."""
        self._command(lambda: self._scheduler.drop_version(version))

    def switch_version(self, jobs: set[Job], served: ServedModel) -> Future[float]:
        """Moves jobs to another version between two steps; gives the seconds that it took."""
        future: Future[float] = Future()
        if not self._command(lambda: future.set_result(self._switch(jobs, served))):
            raise EngineStoppedError("the engine has stopped")
        return future

    @contextmanager
    def lending_a_core(self) -> Iterator[None]:
        """Leaves a core to whoever loads weights meanwhile."""
        self._command(lambda: self._lend(1))
        try:
            yield
        finally:
            self._command(lambda: self._lend(-1))

    @property
    def num_waiting(self) -> int:
        """Samples that have not begun."""
        return self._num_arriving + self._scheduler.num_waiting

    @property
    def num_running(self) -> int:
        """Rows in batches: samples, and the twins of guided ones."""
        return self._scheduler.num_running

    @property
    def num_cached_tokens(self) -> int:
        """Places of the KV cache in use, by whole pages."""
        return PAGE_TOKENS * sum(memory.pool.num_used for memory in self._scheduler.memories)

    @property
    def num_pages(self) -> int:
        """Of the KV cache."""
        return sum(memory.pool.num_pages for memory in self._scheduler.memories)

    @property
    def features(self) -> FeatureCache:
        """Of encoded media; for its counts."""
        return self._scheduler.features

    @property
    def cache_bytes(self) -> int:
        """Memory that the KV cache may take."""
        return sum(memory.cache.num_bytes for memory in self._scheduler.memories)

    def _main(self) -> None:
        torch.set_num_threads(1)  # media are encoded one by one; the kernels have their own crew
        with torch.inference_mode():
            while not self._is_stopping:
                self._run_commands()
                self._end_jobs(self._scheduler.expired(), "deadline exceeded")
                lane = self._scheduler.next_lane()
                if lane is None:
                    self._check()
                    self._wait()
                else:
                    self._step(lane)
            self._run_commands()
            self._end_jobs(self._scheduler.jobs, "the engine stopped")

    def _step(self, lane: Lane) -> None:
        started_s = time.monotonic()
        try:
            result = lane.step(self.limits)
        except Exception as error:  # the engine outlives whatever a model or a request does
            self._observer.on_error(error)
            result = lane.fail(f"{type(error).__name__}: {error}")
        ended_s = time.monotonic()
        self._scheduler.charge(lane, ended_s - started_s)
        self._observer.on_step(ended_s - started_s, result)
        for failure in result.errors:
            self._observer.on_error(failure)
        for job in result.begun:
            if job.clock.first_token_s is None:
                job.clock.first_token_s = ended_s
                self._observer.on_first_token(job)
        self._deliver(result)

    def _check(self) -> None:
        """While nothing runs: that no page of the cache is lost or held by nobody."""
        try:
            self._scheduler.check()
        except AssertionError as error:
            self._observer.on_error(error)

    def _deliver(self, result: StepResult) -> None:
        """Hands the events of a step to the jobs that they belong to, each once."""
        events: defaultdict[Job, list[Event]] = defaultdict(list)
        for sequence, token in result.tokens:
            events[sequence.job].append(token)
        for ended in result.ended:
            job = ended.sequence.job
            sample = ended.sequence.finished(ended.reason, ended.error)
            events[job].append(sample)
            job.num_unfinished -= 1
            if not job.num_unfinished:
                job.clock.finished_s = time.monotonic()
                self._scheduler.jobs.discard(job)
            self._observer.on_sample(job, sample)
        for job, its_events in events.items():
            job.sink(its_events)

    def _accept(self, job: Job) -> None:
        self._num_arriving -= job.num_samples
        self._scheduler.add(job)

    def _end_jobs(self, jobs: set[Job], reason: str) -> None:
        if jobs:
            gone = self._scheduler.take_out(jobs.__contains__)
            ended = [Ended(sequence, FinishReason.CANCELLED, reason) for sequence in gone]
            self._deliver(StepResult(ended=ended))

    def _switch(self, jobs: set[Job], served: ServedModel) -> float:
        started_s = time.monotonic()
        self._scheduler.switch_version(jobs & self._scheduler.jobs, served)
        return time.monotonic() - started_s

    def _lend(self, num_more: int) -> None:
        self._num_lent += num_more
        self._crew.lend(self._num_lent)

    def _command(self, command: Callable[[], None]) -> bool:
        """Has the thread run something between two steps; false once it has stopped."""
        with self._wake:
            if not self._is_stopping:
                self._commands.append(command)
                self._wake.notify()
            return not self._is_stopping

    def _run_commands(self) -> None:
        while self._commands:
            self._commands.popleft()()

    def _wait(self) -> None:
        with self._wake:
            if not self._commands and not self._is_stopping:
                self._wake.wait()
