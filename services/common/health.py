"""gRPC health: which services answer. Kubernetes probes and round-robin clients ask it.

In place of grpcio-health-checking's asyncio servicer (1.81), in which one watcher that leaves
silences the others of the same service, and open watches hold a drain back until its time is up.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.errors import NotFound

_Response = health_pb2.HealthCheckResponse
_Status = int  # HealthCheckResponse.ServingStatus
_Context = grpc.aio.ServicerContext[Any, Any]


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Status by service name; "" is the server as a whole."""

    def __init__(self) -> None:
        self._statuses: dict[str, _Status] = {}
        self._is_draining = False
        self._changed = asyncio.Condition()

    async def set_serving(self, services: list[str], serving: bool) -> None:
        """Answers for these services from now on; without effect once the drain has begun."""
        async with self._changed:
            if not self._is_draining:
                status = _Response.SERVING if serving else _Response.NOT_SERVING
                self._statuses |= dict.fromkeys(services, status)
                self._changed.notify_all()

    async def drain(self) -> None:
        """NOT_SERVING for good; watches hear of it and end."""
        async with self._changed:
            self._is_draining = True
            self._statuses = dict.fromkeys(self._statuses, _Response.NOT_SERVING)
            self._changed.notify_all()

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: _Context
    ) -> health_pb2.HealthCheckResponse:
        if request.service not in self._statuses:
            known = ", ".join(name for name in self._statuses if name)
            raise NotFound(f"no service {request.service!r} here; there are: {known}")
        return _Response(status=self._statuses[request.service])

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: _Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        told: _Status | None = None
        while (status := await self._news(request.service, told)) != told:
            yield _Response(status=status)
            told = status

    async def _news(self, service: str, told: _Status | None) -> _Status:
        """Waits for another status than the one told; while draining, gives what there is."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._is_draining or self._status(service) != told)
            return self._status(service)

    def _status(self, service: str) -> _Status:
        unknown: _Status = _Response.SERVICE_UNKNOWN
        return self._statuses.get(service, unknown)
