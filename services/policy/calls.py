"""What Generate and Rollout share: a job that is watched from the event loop, and its timing."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from protos.v1 import policy_generator_pb2 as pb
from protos.v1 import timing_pb2
from services.common.errors import DeadlineExceeded, ResourceExhausted, Unavailable
from services.policy.engine.engine import Engine
from services.policy.engine.limits import EngineStoppedError, QueueFullError
from services.policy.engine.request import Event, FinishReason, Job, Priority, Sample

Context = grpc.aio.ServicerContext[Any, Any]


class EngineClient:
    """The engine, as calls on the event loop use it. Made on that loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._posted: deque[tuple[EventInbox, list[Event]]] = deque()
        self._is_woken = False

    def inbox(self) -> "EventInbox":
        """A sink for one job."""
        return EventInbox(self)

    @contextmanager
    def submitted(self, job: Job) -> Iterator[None]:
        """Submits a job; cancels what is left of it when the context ends."""
        try:
            self._engine.submit(job)
        except QueueFullError as error:
            raise ResourceExhausted(str(error)) from error
        except EngineStoppedError as error:
            raise Unavailable(str(error)) from error
        try:
            yield
        finally:
            if job.num_unfinished:
                self._engine.cancel(job)

    def post(self, inbox: "EventInbox", events: list[Event]) -> None:
        """On the engine's thread. The loop is woken once for all that a step delivers."""
        self._posted.append((inbox, events))
        if not self._is_woken and not self._loop.is_closed():
            self._is_woken = True
            self._loop.call_soon_threadsafe(self._hand_out)

    def _hand_out(self) -> None:
        self._is_woken = False  # first: what is posted from now on wakes the loop again
        while self._posted:
            inbox, events = self._posted.popleft()
            inbox.put(events)


class EventInbox:
    """A job's sink: takes events on the engine's thread, gives them on the event loop."""

    def __init__(self, client: EngineClient) -> None:
        self._client = client
        self._events: asyncio.Queue[list[Event]] = asyncio.Queue()

    def __call__(self, events: list[Event]) -> None:
        self._client.post(self, events)

    def put(self, events: list[Event]) -> None:
        """On the event loop."""
        self._events.put_nowait(events)

    async def of(self, job: Job) -> AsyncIterator[list[Event]]:
        """All events of a job, as they come. Raises DeadlineExceeded, Unavailable."""
        num_unfinished = job.num_samples
        while num_unfinished:
            events = await self._events.get()
            samples = [event for event in events if isinstance(event, Sample)]
            num_unfinished -= len(samples)
            if any(sample.finish is FinishReason.CANCELLED for sample in samples):
                raise _why_cancelled(job)
            yield events


def deadline_of(context: Context, default_s: float) -> float:
    """When a call must end, by time.monotonic()."""
    left_s = context.time_remaining()
    return time.monotonic() + (default_s if left_s is None else min(left_s, default_s))


def priority_of(priority: pb.Priority.ValueType, default: Priority) -> Priority:
    """The engine's priority; unset (or unknown) is the method's default."""
    if priority == pb.PRIORITY_INTERACTIVE:
        return Priority.INTERACTIVE
    return Priority.BATCH if priority == pb.PRIORITY_BATCH else default


def timing_of(
    job: Job, started_s: float, preprocess_s: float, num_tokens: int
) -> timing_pb2.Timing:
    """Where the time of a finished job went; a prompt counts once for all its samples."""
    clock = job.clock
    admitted_s = clock.admitted_s or clock.submitted_s
    finished_s = clock.finished_s or time.monotonic()
    timing = timing_pb2.Timing(
        total_s=time.monotonic() - started_s,
        queue_s=admitted_s - clock.submitted_s,
        preprocess_s=preprocess_s,
        compute_s=finished_s - admitted_s,
        prompt_tokens=job.num_prompt_tokens,
        cached_tokens=job.num_cached_prompt_tokens,
        completion_tokens=num_tokens,
    )
    if clock.first_token_s is not None:
        timing.time_to_first_token_s = clock.first_token_s - started_s
    return timing


def _why_cancelled(job: Job) -> DeadlineExceeded | Unavailable:
    if job.deadline_s is not None and job.deadline_s <= time.monotonic():
        return DeadlineExceeded("the deadline passed before the answer was complete")
    return Unavailable("the service is stopping; try again, perhaps elsewhere")
