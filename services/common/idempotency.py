"""Answers a repeated request with what the first gave; refuses the same key with another body."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar, cast

from google.protobuf.message import Message

from services.common.errors import AlreadyExists

R = TypeVar("R", bound=Message)


@dataclass(frozen=True, slots=True)
class _Execution:
    """One request's body (its digest) and the task that answers it."""

    body_sha256: bytes
    task: asyncio.Task[Message]


class IdempotencyCache:
    """The newest `capacity` answers by request id; concurrent repeats share one execution.

    An execution outlives a client that cancels. Failures are not kept: a retry after an error runs
    again. Empty keys are never remembered.
    """

    def __init__(self, capacity: int = 1024) -> None:
        self._capacity = capacity
        self._executions: OrderedDict[str, _Execution] = OrderedDict()

    async def run(self, key: str, request: Message, execute: Callable[[], Awaitable[R]]) -> R:
        """The answer to `request`. Raises AlreadyExists for the same key with another body."""
        if not key:
            return await execute()
        body_sha256 = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
        known = self._executions.get(key)
        if known is None:
            known = self._start(key, body_sha256, execute)
        elif known.body_sha256 != body_sha256:
            raise AlreadyExists(f"request id {key!r} was used with another body; use a new one")
        return cast(R, await asyncio.shield(known.task))

    def _start(
        self, key: str, body_sha256: bytes, execute: Callable[[], Awaitable[Message]]
    ) -> _Execution:
        execution = _Execution(body_sha256, asyncio.create_task(_call(execute)))
        self._executions[key] = execution
        execution.task.add_done_callback(lambda _: self._forget_failure(key, execution))
        self._evict()
        return execution

    def _evict(self) -> None:
        """Drops the oldest answers beyond the capacity; what still runs is never dropped."""
        excess = len(self._executions) - self._capacity
        if excess <= 0:
            return
        finished = [key for key, known in self._executions.items() if known.task.done()]
        for key in finished[:excess]:
            del self._executions[key]

    def _forget_failure(self, key: str, execution: _Execution) -> None:
        failed = execution.task.cancelled() or execution.task.exception() is not None
        if failed and self._executions.get(key) is execution:
            del self._executions[key]


async def _call(execute: Callable[[], Awaitable[R]]) -> R:
    return await execute()
