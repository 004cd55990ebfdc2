"""Ways of doing the same work, in turns: medians of bursts, so that no way warms up another."""

import time
from collections.abc import Callable, Mapping
from statistics import median

_BURST_S = 0.03
_PAUSE_S = 0.05
_MIN_CALLS = 3

Way = Callable[[], object]


def medians_us(ways: Mapping[str, Way], rounds: int) -> dict[str, float]:
    """Microseconds of a call of each way."""
    for way in ways.values():
        way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            seconds[name].append(_burst_s(way))
    return {name: median(each) * 1e6 for name, each in seconds.items()}


def _burst_s(way: Way) -> float:
    """The median call of a burst; its first one, in which threads wake up, is not counted. Before
    it, other ways' threads are given time to fall asleep."""
    time.sleep(_PAUSE_S)
    way()
    calls: list[float] = []
    while sum(calls) < _BURST_S or len(calls) < _MIN_CALLS:
        started_s = time.perf_counter()
        way()
        calls.append(time.perf_counter() - started_s)
    return median(calls)
