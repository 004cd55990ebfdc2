"""What can be said of answers, for the blocking and the asyncio client alike.

An item is a prompt with candidate answers. A completion is one too, under its completion id; its
candidates are its samples, under their sample ids.
"""

import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from attune_client.choices import chosen
from attune_client.content import Content, Message, answer_to_proto
from attune_client.protos.v1 import judgement_pb2 as pb
from attune_client.protos.v1 import media_pb2

# A judgement's id, or what is awaited for it.
R = TypeVar("R")

RaterKind = Literal["person", "simulated", "imported", "application"]
PairOutcome = Literal["first", "second", "tie", "both_bad"]
MarkLabel = Literal["good", "artifact", "misalignment", "unsafe", "wrong"]

_RATER_KINDS = {
    "person": pb.RATER_KIND_PERSON,
    "simulated": pb.RATER_KIND_SIMULATED,
    "imported": pb.RATER_KIND_IMPORTED,
    "application": pb.RATER_KIND_APPLICATION,
}
_OUTCOMES = {
    "first": pb.PAIR_OUTCOME_FIRST,
    "second": pb.PAIR_OUTCOME_SECOND,
    "tie": pb.PAIR_OUTCOME_TIE,
    "both_bad": pb.PAIR_OUTCOME_BOTH_BAD,
}
_LABELS = {
    "good": pb.MARK_LABEL_GOOD,
    "artifact": pb.MARK_LABEL_ARTIFACT,
    "misalignment": pb.MARK_LABEL_MISALIGNMENT,
    "unsafe": pb.MARK_LABEL_UNSAFE,
    "wrong": pb.MARK_LABEL_WRONG,
}


@dataclass(frozen=True, slots=True)
class Rater:
    """Who judges, under a pseudonym; `application` is an application's user."""

    rater_id: str
    kind: RaterKind = "person"


@dataclass(frozen=True, slots=True)
class Box:
    """A place in a picture: from 0 to 1, from the top left; right and bottom are exclusive."""

    left: float
    top: float
    right: float
    bottom: float


class Judging(ABC, Generic[R]):
    """Each method stores one judgement and gives its id; when it has come, it is on disk."""

    @abstractmethod
    def _submit(self, judgement: pb.Judgement) -> R:
        """Sends a judgement, again and again under its key if need be."""

    def judge_pair(
        self,
        item_id: str,
        first: str,
        second: str,
        outcome: PairOutcome,
        *,
        by: Rater,
        dimension: str = "overall",
        strength: Literal[1, 2, 3] | None = None,
        comment: str = "",
    ) -> R:
        """Compares two candidates; strength is 1 slightly, 2 clearly, 3 far better."""
        pair = pb.PairJudgement(
            first_candidate_id=first,
            second_candidate_id=second,
            outcome=chosen("outcome", outcome, _OUTCOMES),
            dimension=dimension,
            strength=strength,
        )
        return self._submit(_judgement(item_id, by, comment, pair=pair))

    def rate(
        self,
        item_id: str,
        candidate_id: str,
        value: int,
        *,
        by: Rater,
        scale: tuple[int, int] = (1, 5),
        dimension: str = "overall",
        comment: str = "",
    ) -> R:
        """Rates one candidate; `scale` is the worst and the best value."""
        rating = pb.RatingJudgement(
            candidate_id=candidate_id,
            dimension=dimension,
            value=value,
            scale_min=scale[0],
            scale_max=scale[1],
        )
        return self._submit(_judgement(item_id, by, comment, rating=rating))

    def edit(
        self,
        item_id: str,
        candidate_id: str,
        edited: Content | Message,
        *,
        by: Rater,
        verified_better: bool = False,
        comment: str = "",
    ) -> R:
        """Gives a candidate as it should have been."""
        edit = pb.EditJudgement(
            candidate_id=candidate_id,
            edited=answer_to_proto(edited),
            verified_better=verified_better,
        )
        return self._submit(_judgement(item_id, by, comment, edit=edit))

    def mark_region(
        self,
        item_id: str,
        candidate_id: str,
        box: Box,
        label: MarkLabel,
        *,
        by: Rater,
        media_sha256: str = "",
        description: str = "",
        comment: str = "",
    ) -> R:
        """Marks a place in a candidate's picture, or in the one of that hash."""
        place = media_pb2.Box(left=box.left, top=box.top, right=box.right, bottom=box.bottom)
        region = pb.RegionJudgement(
            candidate_id=candidate_id,
            media_sha256=media_sha256,
            region=media_pb2.Region(box=place),
            label=chosen("label", label, _LABELS),
            description=description,
        )
        return self._submit(_judgement(item_id, by, comment, region=region))

    def mark_span(
        self,
        item_id: str,
        candidate_id: str,
        start: int,
        end: int,
        label: MarkLabel,
        *,
        by: Rater,
        comment: str = "",
    ) -> R:
        """Marks the code points [start, end) of a candidate's text."""
        span = pb.SpanJudgement(
            candidate_id=candidate_id,
            span=media_pb2.TextSpan(start=start, end=end),
            label=chosen("label", label, _LABELS),
        )
        return self._submit(_judgement(item_id, by, comment, span=span))

    def flag(self, item_id: str, reason: str, *, by: Rater, candidate_id: str = "") -> R:
        """Reports an item, or one of its candidates."""
        flag = pb.FlagJudgement(candidate_id=candidate_id, reason=reason)
        return self._submit(_judgement(item_id, by, flag=flag))

    def skip(self, item_id: str, reason: str, *, by: Rater) -> R:
        """Says that an item was seen and not judged."""
        return self._submit(_judgement(item_id, by, skip=pb.SkipJudgement(reason=reason)))


def _judgement(item_id: str, by: Rater, comment: str = "", **kind: Any) -> pb.Judgement:
    """A judgement under a key of its own; the log dates it, so that a repeat is the same."""
    return pb.Judgement(
        idempotency_key=uuid.uuid4().hex,
        item_id=item_id,
        rater_id=by.rater_id,
        rater_kind=chosen("rater kind", by.kind, _RATER_KINDS),
        comment=comment,
        **kind,
    )
