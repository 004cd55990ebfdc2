"""Server-sent events: headers, one event as bytes, and keeping an idle stream alive."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, TypeVar

T = TypeVar("T")

# A proxy that gathers a stream before passing it on would defeat it.
SSE_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
_PERIOD_S = 15.0


def sse_event(data: Any, event: str | None = None, event_id: str | None = None) -> bytes:
    """One event with JSON data; the browser sends the id back when it connects again."""
    lines = [f"event: {event}\n"] if event else []
    lines += [f"id: {event_id}\n"] if event_id else []
    lines.append(f"data: {json.dumps(data, separators=(',', ':'))}\n\n")
    return "".join(lines).encode()


async def with_keep_alive(
    items: AsyncIterator[T], until: asyncio.Event, period_s: float = _PERIOD_S
) -> AsyncIterator[T | None]:
    """The items, with None in between whenever `period_s` passes without one; ends at `until`."""
    ended = asyncio.ensure_future(until.wait())
    upcoming = asyncio.ensure_future(anext(items, None))
    try:
        while not ended.done():
            await asyncio.wait((upcoming, ended), timeout=period_s, return_when="FIRST_COMPLETED")
            if upcoming.done():
                item = upcoming.result()
                if item is None:
                    return
                yield item
                upcoming = asyncio.ensure_future(anext(items, None))
            elif not ended.done():
                yield None
    finally:
        ended.cancel()
        upcoming.cancel()
        await asyncio.gather(ended, upcoming, return_exceptions=True)
