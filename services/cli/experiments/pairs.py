"""How often a scorer orders judged pairs as their raters did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.cli.evaluation.intervals import Estimate, bootstrap_mean


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """A pair that a rater decided: the candidate that won, and the one that lost."""

    family: str
    better: str
    worse: str


def pair_accuracy(
    pairs: Sequence[JudgedPair], scores: Mapping[str, float | None]
) -> Estimate | None:
    """Share of decided pairs that the scores order alike; equal scores count half.

    Pairs with a candidate that has no score are left out.
    """
    hits = [
        _hit(better, worse)
        for pair in pairs
        if (better := scores.get(pair.better)) is not None
        and (worse := scores.get(pair.worse)) is not None
    ]
    return bootstrap_mean(hits)


def _hit(better: float, worse: float) -> float:
    return 0.5 if better == worse else float(better > worse)
