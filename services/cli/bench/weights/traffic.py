"""What was asked, what came of it, and when tokens arrived."""

import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Traffic:
    """Threads add to it; times are those of `time.perf_counter`."""

    num_begun: int = 0
    num_answered: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    gaps: list["Gap"] = field(default_factory=list)
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

    def gap_s(self, share: float) -> float:
        """What so large a share of gaps do not exceed."""
        ordered = sorted(gap.seconds for gap in self.gaps)
        return ordered[max(0, round(share * len(ordered)) - 1)] if ordered else float("nan")

    def longest_gap_s(self, start_s: float, end_s: float) -> float:
        """Of those that touch the time between two moments; 0 where none does."""
        touching = (g.seconds for g in self.gaps if g.end_s >= start_s and g.start_s <= end_s)
        return max(touching, default=0.0)


@dataclass(frozen=True, slots=True)
class Gap:
    """Between two tokens of one stream."""

    start_s: float
    end_s: float

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s
