"""What was asked, what came of it, and when tokens arrived."""

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from services.cli.bench.quantile import quantile


@dataclass(slots=True)
class Traffic:
    """Threads add to it; times are those of `time.perf_counter`."""

    num_begun: int = 0
    num_cancelled: int = 0
    answered: Counter[str] = field(default_factory=Counter)  # by kind of call
    failures: Counter[str] = field(default_factory=Counter)  # by what went wrong
    gaps: list["Gap"] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def num_answered(self) -> int:
        return self.answered.total()

    @property
    def num_failed(self) -> int:
        return self.failures.total()

    @property
    def num_unanswered(self) -> int:
        """Begun, and neither answered, refused nor cancelled; of a load that has ended."""
        return self.num_begun - self.num_answered - self.num_failed - self.num_cancelled

    @property
    def num_lost(self) -> int:
        """Calls that did not get what they asked for."""
        return self.num_failed + self.num_unanswered

    @property
    def figures(self) -> dict[str, Any]:
        """For --json."""
        return {
            "begun": self.num_begun,
            "answered": dict(self.answered),
            "cancelled": self.num_cancelled,
            "failed": dict(self.failures),
            "unanswered": self.num_unanswered,
        }

    def begin(self) -> None:
        with self.lock:
            self.num_begun += 1

    def end(self, kind: str, failure: str | None) -> None:
        """One call is over; None where it was answered as it should be."""
        with self.lock:
            if failure is None:
                self.answered[kind] += 1
            else:
                self.failures[f"{kind}: {failure}"] += 1

    def cancel(self) -> None:
        """One call was cancelled by who made it."""
        with self.lock:
            self.num_cancelled += 1

    def gap_s(self, share: float) -> float:
        """What so large a share of gaps do not exceed; NaN where there are none."""
        return quantile([gap.seconds for gap in self.gaps], share)

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
