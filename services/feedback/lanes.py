"""Threads for blocking work, with a bound on how much may wait."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from services.common.errors import ResourceExhausted

T = TypeVar("T")


class Lane:
    """A pool of `threads`; beyond `max_pending` unfinished pieces of work, more is refused."""

    def __init__(self, name: str, threads: int, max_pending: int) -> None:
        self._name, self._max_pending = name, max_pending
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"feedback-{name}")
        self._lock = threading.Lock()
        self._pending = 0

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns. Once begun it runs to its end, also if the caller is cancelled."""
        with self._lock:
            if self._pending >= self._max_pending:
                raise ResourceExhausted(
                    f"{self._pending} requests wait to {self._name} already; try again later"
                )
            self._pending += 1
        future = self._pool.submit(work)
        future.add_done_callback(self._finished)
        return await asyncio.wrap_future(future)

    def pending(self) -> int:
        """How much is running or waiting."""
        return self._pending

    def close(self) -> None:
        """Waits for what is running or waiting."""
        self._pool.shutdown(wait=True)

    def _finished(self, _: "Future[T]") -> None:
        with self._lock:
            self._pending -= 1
