"""Whether the rewards of the traffic are distributed as they were when a model was loaded.

With canaries in their places, a distribution that moves says that the answers changed: the policy
learns, or games the reward. Measured by the population stability index, Σ (p - q) ln (p / q) over
the tenths of the first rewards; above 0.2 is commonly taken for a shift.
"""

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence

_WINDOW = 1000  # rewards that are compared with as many
_BINS = 10


class RewardDrift:
    """Of one model. Its first rewards are what later ones are compared with."""

    def __init__(self, window: int = _WINDOW) -> None:
        self._window = window
        self._first: list[float] = []
        self._latest: deque[float] = deque(maxlen=window)

    def add(self, reward: float) -> None:
        """One more reward of the traffic."""
        if len(self._first) < self._window:
            self._first.append(reward)
        else:
            self._latest.append(reward)

    def index(self) -> float:
        """NaN until there are as many to compare as there are to compare with."""
        if len(self._latest) < self._window:
            return math.nan
        return stability_index(self._first, self._latest)


def stability_index(first: Sequence[float], latest: Sequence[float]) -> float:
    """Of `latest` beside `first`; half a reward is added to each bin, so that none is empty."""
    ordered = sorted(first)
    edges = [ordered[len(ordered) * bin // _BINS] for bin in range(1, _BINS)]
    expected, found = (_shares(edges, rewards) for rewards in (first, latest))
    return sum((p - q) * math.log(p / q) for p, q in zip(found, expected, strict=True))


def _shares(edges: Sequence[float], rewards: Sequence[float]) -> list[float]:
    counts = [0.5] * (len(edges) + 1)
    for reward in rewards:
        counts[bisect_right(edges, reward)] += 1
    total = sum(counts)
    return [count / total for count in counts]
