"""What was asked, what came of it, and when tokens arrived."""

import itertools
import threading
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Traffic:
    """Threads add to it; times are those of `time.perf_counter`."""

    num_begun: int = 0
    num_answered: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    arrivals_s: list[float] = field(default_factory=list)  # of tokens, by any stream
    between_tokens_s: list[float] = field(default_factory=list)  # of one stream
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def num_failed(self) -> int:
        return self.failures.total()

    @property
    def num_unanswered(self) -> int:
        """Begun, and neither answered nor refused; of a load that has ended."""
        return self.num_begun - self.num_answered - self.num_failed

    def begin(self) -> None:
        with self.lock:
            self.num_begun += 1

    def end(self, failure: str | None) -> None:
        """One call is over; None where it was answered as it should be."""
        with self.lock:
            self.num_answered += failure is None
            self.failures.update([] if failure is None else [failure])

    def longest_silence_s(self, start_s: float, end_s: float) -> float:
        """How long no stream got a token, between two moments."""
        arrivals = sorted(self.arrivals_s)
        inside = arrivals[bisect_left(arrivals, start_s) : bisect_left(arrivals, end_s)]
        edges = [start_s, *inside, end_s]
        return max(later - earlier for earlier, later in itertools.pairwise(edges))


def percentile(values: list[float], share: float) -> float:
    """The value that so large a share does not exceed; NaN where there are none."""
    ordered = sorted(values)
    return ordered[max(0, round(share * len(ordered)) - 1)] if ordered else float("nan")
