"""The one place where exceptions become gRPC statuses, and where RPCs are counted and timed."""

from __future__ import annotations  # grpc's handler type takes arguments only for the type checker

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from services.common.errors import AttuneError, as_attune_error
from services.common.logs import get_logger
from services.common.metrics import RpcMetrics

_Context = grpc.aio.ServicerContext[Any, Any]
# A status message travels percent-encoded (up to 3 bytes for one) in headers of at most 8 KiB.
_MAX_DETAIL_BYTES = 2000


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every handler: known errors become their status, all else INTERNAL and a log line."""

    def __init__(self, metrics: RpcMetrics) -> None:
        self._metrics = metrics

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        return self._wrap(handler, handler_call_details.method.lstrip("/"))

    def _wrap(
        self, handler: grpc.RpcMethodHandler[Any, Any], method: str
    ) -> grpc.RpcMethodHandler[Any, Any]:
        inner = (
            handler.unary_unary
            or handler.unary_stream
            or handler.stream_unary
            or handler.stream_stream
        )
        make = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[(handler.request_streaming, handler.response_streaming)]
        behaviour = (
            self._stream(inner, method)
            if handler.response_streaming
            else self._unary(inner, method)
        )
        return make(
            behaviour,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _unary(self, inner: Any, method: str) -> Any:
        async def call(request: Any, context: _Context) -> Any:
            async with _Watch(self._metrics, method, context):
                return await inner(request, context)

        return call

    def _stream(self, inner: Any, method: str) -> Any:
        async def call(request: Any, context: _Context) -> AsyncIterator[Any]:
            async with _Watch(self._metrics, method, context):
                responses = inner(request, context)
                if inspect.isawaitable(responses):  # writes through the context (health Watch)
                    await responses
                    return
                async for response in responses:
                    yield response

        return call


class _Watch:
    """Times one RPC and translates what it raises."""

    def __init__(self, metrics: RpcMetrics, method: str, context: _Context) -> None:
        self._metrics, self._method, self._context = metrics, method, context

    async def __aenter__(self) -> None:
        self._start_s = time.monotonic()
        self._metrics.in_flight.labels(self._method).inc()

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._metrics.in_flight.labels(self._method).dec()
        self._metrics.duration.labels(self._method).observe(time.monotonic() - self._start_s)
        self._metrics.handled.labels(self._method, _code_name(error, self._context)).inc()
        # Cancellation and a client that left a stream are BaseExceptions and pass through.
        if isinstance(error, Exception) and not isinstance(error, grpc.aio.AbortError):
            translated = as_attune_error(error)
            if translated.code is grpc.StatusCode.INTERNAL:
                get_logger(__name__).error("rpc failed", method=self._method, exc_info=error)
            await self._context.abort(translated.code, _details(translated))


def _details(error: AttuneError) -> str:
    text = str(error) or type(error).__name__
    encoded = text.encode()
    if len(encoded) <= _MAX_DETAIL_BYTES:
        return text
    return encoded[:_MAX_DETAIL_BYTES].decode(errors="ignore") + " …"


def _code_name(error: BaseException | None, context: _Context) -> str:
    if error is None or isinstance(error, grpc.aio.AbortError):
        code = context.code()  # unset, or as the handler set or aborted with it
        return code.name if isinstance(code, grpc.StatusCode) else "OK"
    if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        return "CANCELLED"
    if isinstance(error, Exception):
        return as_attune_error(error).code.name
    return AttuneError.code.name
