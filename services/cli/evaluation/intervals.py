"""Percentile bootstrap of means (Efron 1979), resampling within each family."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 4000
_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval, and of how many values."""

    mean: float
    low: float
    high: float
    count: int


def bootstrap_mean(values: Sequence[float], seed: int = 0) -> Estimate | None:
    """The mean of one family's values; None where there are none."""
    return bootstrap_mean_of_means([values], seed)


def bootstrap_mean_of_means(families: Sequence[Sequence[float]], seed: int = 0) -> Estimate | None:
    """The unweighted mean over families of their means; None where a family has no values."""
    if not families or any(len(values) == 0 for values in families):
        return None
    rng = np.random.default_rng(seed)
    means_R = np.mean([_resampled_means(values, rng) for values in families], axis=0)
    tail = 100 * (1 - _LEVEL) / 2
    low, high = np.percentile(means_R, [tail, 100 - tail])
    mean = float(np.mean([np.mean(values) for values in families]))
    return Estimate(mean, float(low), float(high), sum(len(v) for v in families))


def _resampled_means(values: Sequence[float], rng: np.random.Generator) -> NDArray[np.float64]:
    """Means of RESAMPLES draws with replacement, by how often each value was drawn."""
    array = np.asarray(values, dtype=np.float64)
    counts_RN = rng.multinomial(len(array), np.full(len(array), 1 / len(array)), size=RESAMPLES)
    means_R: NDArray[np.float64] = counts_RN @ array / len(array)
    return means_R
