"""What the figures stand beside: always "true", and what people themselves reach."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.cli.experiments.nlvr.source import NlvrExample


@dataclass(frozen=True, slots=True)
class Floors:
    """Shares of held-out examples on which each of these agrees with the label."""

    always_true: float
    people_majority: float
    single_person: float


def floors_of(examples: Sequence[NlvrExample]) -> Floors:
    """Over the examples given; `single_person` is over the votes for an answer."""
    votes = [(vote, e.label) for e in examples for vote in e.decided]
    return Floors(
        always_true=_share([e.label == "true" for e in examples]),
        people_majority=_share([e.majority == e.label for e in examples]),
        single_person=_share([vote == label for vote, label in votes]),
    )


def _share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits)
