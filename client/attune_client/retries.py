"""Repeats calls that a service could not take, with growing pauses, until their deadline.

Every mutation carries an idempotency key, made once per call, so that a repeat is applied once.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Protocol, TypeVar

import grpc

from attune_client.errors import from_rpc

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

# A stream that may go on for long, and is taken up again where it breaks.
LONG_STREAM_S = 24 * 3600.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0


class Attempts:
    """The attempts of one call: the time each may take, and the pauses between them."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self.renew()

    @property
    def timeout_s(self) -> float:
        """What is left of the deadline."""
        return max(self._end_s - time.monotonic(), 0.0)

    def renew(self) -> None:
        """Something arrived: the whole deadline is left again."""
        self._end_s = time.monotonic() + self._deadline_s
        self._pause_s = _FIRST_PAUSE_S

    def pause_s(self, error: grpc.RpcError) -> float:
        """The pause before the next attempt. Raises what went wrong where there is to be none."""
        failure = from_rpc(error)
        pause_s = self._pause_s * random.uniform(0.5, 1.0)
        if not failure.retryable or pause_s >= self.timeout_s:
            raise failure from error
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        return pause_s


def repeated(attempt: Callable[[float], T], deadline_s: float) -> T:
    """The answer of `attempt`, which is given the seconds that it may take."""
    attempts = Attempts(deadline_s)
    while True:
        try:
            return attempt(attempts.timeout_s)
        except grpc.RpcError as error:
            time.sleep(attempts.pause_s(error))


async def repeated_async(attempt: Callable[[float], Awaitable[T]], deadline_s: float) -> T:
    """The same for asyncio."""
    attempts = Attempts(deadline_s)
    while True:
        try:
            return await attempt(attempts.timeout_s)
        except grpc.RpcError as error:
            await asyncio.sleep(attempts.pause_s(error))


class Stream(Protocol[T_co]):
    """What a blocking call streams."""

    def __iter__(self) -> Iterator[T_co]: ...
    def cancel(self) -> object: ...


class AsyncStream(Protocol[T_co]):
    """What an asyncio call streams."""

    def __aiter__(self) -> AsyncIterator[T_co]: ...
    def cancel(self) -> object: ...


def streamed(open_call: Callable[[float], Stream[T]], attempts: Attempts) -> Iterator[T]:
    """All that a call streams, opened again where it breaks.

    `open_call` is given the seconds that are left, and asks for what has not come yet.
    """
    while True:
        call = open_call(attempts.timeout_s)
        try:
            yield from call
            return
        except grpc.RpcError as error:
            pause_s = attempts.pause_s(error)
        finally:
            call.cancel()
        time.sleep(pause_s)


async def streamed_async(
    open_call: Callable[[float], AsyncStream[T]], attempts: Attempts
) -> AsyncIterator[T]:
    """The same for asyncio."""
    while True:
        call = open_call(attempts.timeout_s)
        try:
            async for response in call:
                yield response
            return
        except grpc.RpcError as error:
            pause_s = attempts.pause_s(error)
        finally:
            call.cancel()
        await asyncio.sleep(pause_s)
