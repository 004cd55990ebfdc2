"""Ends work for a client that has left."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from services.gateway.errors import ClientDisconnected

T = TypeVar("T")


async def unless_disconnected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; it and its RPCs are cancelled when the client leaves first."""
    task = asyncio.ensure_future(work)
    left = asyncio.ensure_future(_disconnection(request))
    try:
        await asyncio.wait((task, left), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnected
    finally:
        left.cancel()
        task.cancel()
        await asyncio.gather(task, left, return_exceptions=True)


async def _disconnection(request: Request) -> None:
    """Returns when the client has left; the body of the request must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
