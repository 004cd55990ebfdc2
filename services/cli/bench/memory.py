"""Resident memory over a long run, by thirds: growth is the last beside the middle."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean


@dataclass(frozen=True, slots=True)
class MemoryThirds:
    """Mean resident MiB of each third; the first holds what any run takes once."""

    first: float
    middle: float
    last: float

    @property
    def growth(self) -> float:
        """Of the last third over the middle one: 0.01 is 1 %."""
        return self.last / self.middle - 1


def memory_thirds(resident_bytes: Sequence[int]) -> MemoryThirds:
    """Of at least three samples that were taken evenly."""
    third = len(resident_bytes) // 3
    parts = resident_bytes[:third], resident_bytes[third : 2 * third], resident_bytes[2 * third :]
    first, middle, last = (fmean(part) / 2**20 for part in parts)
    return MemoryThirds(first, middle, last)
