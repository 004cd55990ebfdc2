"""One Generate call to the policy service, admitted before any HTTP header is sent."""

import re
import time
import uuid
from collections.abc import AsyncIterator
from typing import Self

import grpc

from protos.v1 import policy_generator_pb2 as pb
from protos.v1.trajectory_pb2 import (
    FINISH_REASON_LENGTH,
    FINISH_REASON_STOP,
    Sample,
)
from protos.v1.versions_pb2 import ModelRef
from services.common.errors import AttuneError, NotFound, Unavailable
from services.gateway.backends import Backends, translate
from services.gateway.errors import ModelNotFound

_VERSION = re.compile(r"policy-[0-9a-f]{16}")
_FINISH_REASONS = {FINISH_REASON_STOP: "stop", FINISH_REASON_LENGTH: "length"}
_Call = grpc.aio.UnaryStreamCall[pb.GenerateRequest, pb.GenerateResponse]


class Generation:
    """A running call whose `started` event has arrived: it is admitted and its prompt is valid.

    Iterating gives the events that follow. Leaving the context cancels what still runs.
    """

    def __init__(
        self, call: _Call, events: AsyncIterator[pb.GenerateResponse], started: pb.GenerateStarted
    ) -> None:
        self.started = started
        self.created_s = int(time.time())
        self._call = call
        self._events = events

    @classmethod
    async def start(cls, backends: Backends, request: pb.GenerateRequest, timeout_s: float) -> Self:
        """Sends the request and waits until it is admitted. Raises what it is refused for."""
        call = backends.policy.Generate(request, timeout=timeout_s)
        events = aiter(call)
        try:
            first = await anext(events)
        except grpc.RpcError as error:
            raise _refusal(error) from error
        return cls(call, events, first.started)

    async def __aiter__(self) -> AsyncIterator[pb.GenerateResponse]:
        try:
            async for response in self._events:
                yield response
        except grpc.RpcError as error:
            raise translate("policy", error) from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._call.cancel()


def new_completion_id(prefix: str) -> str:
    """An id for a request, which is also that of its trajectory: feedback refers to it."""
    return f"{prefix}-{uuid.uuid4().hex}"


def model_ref(name: str) -> ModelRef:
    """What a client calls a model: a version by its form, all else is an alias."""
    return ModelRef(version=name) if _VERSION.fullmatch(name) else ModelRef(alias=name)


def finish_reason(sample: Sample) -> str:
    """ "stop" or "length". Raises for a sample that failed or was cancelled: it is no answer."""
    if sample.finish_reason in _FINISH_REASONS:
        return _FINISH_REASONS[sample.finish_reason]
    if sample.error:
        raise AttuneError(f"sample {sample.index} failed: {sample.error}")
    raise Unavailable(f"sample {sample.index} was cancelled; try again")


def _refusal(error: grpc.RpcError) -> AttuneError:
    translated = translate("policy", error)
    if isinstance(translated, NotFound):
        return ModelNotFound(f"{translated} (GET /v1/models lists what there is)")
    return translated
