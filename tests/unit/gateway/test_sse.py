"""Streams of events that stay alive while nothing happens, and end when the gateway does."""

import asyncio
from collections.abc import AsyncIterator

from services.gateway.sse import sse_event, with_keep_alive


async def endless(opened: asyncio.Event, closed: asyncio.Event) -> AsyncIterator[int]:
    try:
        yield 1
        opened.set()
        await asyncio.Event().wait()
    finally:
        closed.set()


def test_an_event_is_one_line_of_data_whatever_it_holds():
    event = sse_event({"text": "a\nb\n\ndata: c"}, event="end", event_id="7").decode()
    assert event.startswith("event: end\nid: 7\ndata: ")
    assert event.count("\n\n") == 1
    assert event.endswith("\n\n")


async def test_an_idle_stream_gives_signs_of_life_and_ends_when_told():
    until, opened, closed = (asyncio.Event() for _ in range(3))
    seen = []
    async for item in with_keep_alive(endless(opened, closed), until, period_s=0.01):
        seen.append(item)
        if seen.count(None) == 2:
            until.set()
    assert seen == [1, None, None]
    assert opened.is_set()
    assert closed.is_set()


async def test_a_stream_that_ends_ends():
    async def two() -> AsyncIterator[int]:
        yield 1
        yield 2

    assert [item async for item in with_keep_alive(two(), asyncio.Event())] == [1, 2]
