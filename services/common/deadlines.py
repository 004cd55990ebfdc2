"""Channels that give every call a deadline; used by client.py.

gRPC's service configuration has a timeout too, but in grpcio 1.85 it runs out about a second early
(grpc#34547, #40633) and never reaches the server, which then cannot give up in time.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import grpc

# Seconds for a method, by its full name ("/attune.v1.RewardModel/Score").
TimeoutOf = Callable[[str], float]


class _Deadlined:
    """A method of a stub that passes the default where its caller gives no timeout."""

    def __init__(self, call: Any, timeout_s: float) -> None:
        self._call, self._timeout_s = call, timeout_s

    def __call__(self, *args: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        return self._call(*args, timeout=self._or_default(timeout), **kwargs)

    def with_call(self, *args: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        """The answer and the call; blocking channels only."""
        return self._call.with_call(*args, timeout=self._or_default(timeout), **kwargs)

    def future(self, *args: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        """A future of the answer; blocking channels only."""
        return self._call.future(*args, timeout=self._or_default(timeout), **kwargs)

    def _or_default(self, timeout: float | None) -> float:
        return self._timeout_s if timeout is None else timeout


class _DeadlinedMethods:
    """The four ways to get a method from a channel."""

    def __init__(self, channel: Any, timeout_of: TimeoutOf) -> None:
        self._channel, self._timeout_of = channel, timeout_of

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._deadlined(self._channel.unary_unary, method, *args, **kwargs)

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._deadlined(self._channel.unary_stream, method, *args, **kwargs)

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._deadlined(self._channel.stream_unary, method, *args, **kwargs)

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._deadlined(self._channel.stream_stream, method, *args, **kwargs)

    def _deadlined(self, get: Any, method: str, *args: Any, **kwargs: Any) -> _Deadlined:
        return _Deadlined(get(method, *args, **kwargs), self._timeout_of(method))


class DeadlinedChannel(_DeadlinedMethods, grpc.Channel):
    """A blocking channel whose calls have a deadline."""

    def subscribe(
        self,
        callback: Callable[[grpc.ChannelConnectivity], None],
        try_to_connect: bool = False,
    ) -> None:
        self._channel.subscribe(callback, try_to_connect)

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], None]) -> None:
        self._channel.unsubscribe(callback)

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class DeadlinedAioChannel(_DeadlinedMethods, grpc.aio.Channel):
    """An asyncio channel whose calls have a deadline."""

    async def close(self, grace: float | None = None) -> None:
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        state: grpc.ChannelConnectivity = self._channel.get_state(try_to_connect)
        return state

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._channel.channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
