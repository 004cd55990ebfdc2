"""Counts and times every request by its route."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.metrics import GatewayMetrics


class Measure:
    """Records route, method, status and duration; a stream counts until its last byte."""

    def __init__(self, app: ASGIApp, metrics: GatewayMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start_s = time.monotonic()
        status = 499  # of a client that left before its answer began

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._metrics.in_flight.track_inprogress():
            try:
                await self._app(scope, receive, watch)
            except Exception:
                status = 500
                raise
            finally:
                route = getattr(scope.get("route"), "path", "unmatched")
                self._metrics.requests.labels(route, scope["method"], str(status)).inc()
                self._metrics.duration.labels(route).observe(time.monotonic() - start_s)
