"""Turns new requests away once the gateway is to stop; those that run are finished."""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from services.common.errors import Unavailable
from services.gateway.errors import error_response


class Drain:
    """Answers 503 while draining; what only reads the gateway's own state is still answered."""

    def __init__(self, app: ASGIApp, draining: asyncio.Event) -> None:
        self._app = app
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = self._draining.is_set() and scope.get("path", "").startswith(("/v1/", "/api/"))
        if scope["type"] == "http" and refused:
            error = Unavailable("this gateway is shutting down; try again on another")
            await error_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)
