"""Answers a repeated request with what the first one gave; refuses the same key with another body."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TypeVar

from google.protobuf.message import Message

from services.common.errors import AlreadyExists

R = TypeVar("R", bound=Message)


class IdempotencyCache:
    """The newest `capacity` answers by request id; concurrent repeats share one execution.

    Failures are not kept: a retry after an error runs again. Empty keys are never remembered.
    """

    def __init__(self, capacity: int = 1024) -> None:
        self._capacity = capacity
        self._answers: OrderedDict[str, tuple[bytes, asyncio.Future[Message]]] = OrderedDict()

    async def run(self, key: str, request: Message, execute: Callable[[], Awaitable[R]]) -> R:
        """The answer to `request`. Raises AlreadyExists for the same key with another body."""
        if not key:
            return await execute()
        digest = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
        known = self._answers.get(key)
        if known is not None:
            if known[0] != digest:
                raise AlreadyExists(f"request id {key!r} was used with another body; use a new one")
            return await asyncio.shield(known[1])  # type: ignore[return-value]
        task: asyncio.Task[R] = asyncio.ensure_future(_call(execute))
        self._answers[key] = (digest, task)  # type: ignore[assignment]
        task.add_done_callback(lambda done: self._forget_failure(key, done))
        while len(self._answers) > self._capacity:
            self._answers.popitem(last=False)
        return await asyncio.shield(task)

    def _forget_failure(self, key: str, task: "asyncio.Task[R]") -> None:
        if task.cancelled() or task.exception() is not None:
            self._answers.pop(key, None)


async def _call(execute: Callable[[], Awaitable[R]]) -> R:
    return await execute()
