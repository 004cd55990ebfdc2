"""A completion as it is written: deltas first, the whole at the end."""

from collections.abc import AsyncIterator, Iterator

import grpc

from attune_client.errors import FailedPrecondition, from_rpc
from attune_client.generation import Completion, CompletionBuilder, Delta
from attune_client.protos.v1.policy_generator_pb2 import GenerateResponse
from attune_client.retries import AsyncStream, Stream


class _Streamed:
    """What both kinds of stream know."""

    def __init__(self, started: GenerateResponse) -> None:
        self.completion_id = started.started.request_id
        self._builder = CompletionBuilder()
        self._builder.take(started)
        self._has_ended = False

    @property
    def completion(self) -> Completion:
        """The whole. Raises FailedPrecondition before the last delta was read."""
        if not self._has_ended:
            raise FailedPrecondition("the stream has not ended; read its deltas first")
        return self._builder.completion()


class CompletionStream(_Streamed):
    """Iterates over deltas. Leaving the loop cancels what still runs."""

    def __init__(self, call: Stream[GenerateResponse], started: GenerateResponse) -> None:
        super().__init__(started)
        self._call = call

    def __iter__(self) -> Iterator[Delta]:
        try:
            for response in self._call:
                delta = self._builder.take(response)
                if delta is not None:
                    yield delta
            self._has_ended = True
        except grpc.RpcError as error:
            raise from_rpc(error) from error
        finally:
            self._call.cancel()


class AsyncCompletionStream(_Streamed):
    """The same for asyncio."""

    def __init__(
        self,
        call: AsyncStream[GenerateResponse],
        events: AsyncIterator[GenerateResponse],
        started: GenerateResponse,
    ) -> None:
        super().__init__(started)
        self._call = call
        self._events = events

    async def __aiter__(self) -> AsyncIterator[Delta]:
        try:
            async for response in self._events:
                delta = self._builder.take(response)
                if delta is not None:
                    yield delta
            self._has_ended = True
        except grpc.RpcError as error:
            raise from_rpc(error) from error
        finally:
            self._call.cancel()
