"""Threads that ask one call after the other until they are told to stop."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from services.cli.bench.traffic import Traffic

_JOIN_S = 300.0

# Makes one call and tells the traffic how it ended.
Call = Callable[[Traffic], None]


@contextmanager
def asking(callers: Sequence[Call]) -> Iterator[Traffic]:
    """A thread for each; at the end of the context their last calls may finish."""
    traffic, is_over = Traffic(), threading.Event()

    def keep_asking(call: Call) -> None:
        while not is_over.is_set():
            traffic.begin()
            call(traffic)

    threads = [threading.Thread(target=keep_asking, args=(c,), daemon=True) for c in callers]
    for thread in threads:
        thread.start()
    try:
        yield traffic
    finally:
        is_over.set()
        for thread in threads:
            thread.join(_JOIN_S)
