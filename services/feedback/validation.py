"""What a judgement must say to be stored, before anything is looked up."""

import math
from collections.abc import Callable
from typing import Any

from protos.v1.judgement_pb2 import (
    EditJudgement,
    FlagJudgement,
    Judgement,
    MarkLabel,
    PairJudgement,
    PairOutcome,
    RaterKind,
    RatingJudgement,
    RegionJudgement,
    SkipJudgement,
    SpanJudgement,
)
from protos.v1.media_pb2 import TextSpan
from services.common.errors import InvalidArgument
from services.feedback.blobs import check_sha256
from services.feedback.regions import check_region

MAX_ID_CHARS = 256
MAX_TEXT_CHARS = 20_000
KINDS = tuple(field.name for field in Judgement.DESCRIPTOR.oneofs_by_name["kind"].fields)


def check_judgement(judgement: Judgement) -> None:
    """Raises InvalidArgument where a judgement contradicts itself or leaves something unsaid."""
    for field in ("idempotency_key", "item_id", "rater_id"):
        check_id(field, getattr(judgement, field))
    check_choice("rater_kind", judgement.rater_kind, RaterKind)
    if not math.isfinite(judgement.judged_at_s) or judgement.judged_at_s < 0:
        raise InvalidArgument(
            f"judged_at_s is {judgement.judged_at_s}; it must be seconds of Unix time"
        )
    _check_text("comment", judgement.comment)
    kind = judgement.WhichOneof("kind")
    if kind is None:
        raise InvalidArgument(f"the judgement says nothing; set one of {', '.join(KINDS)}")
    _CHECKS[kind](getattr(judgement, kind))


def candidates_of(judgement: Judgement) -> list[str]:
    """The candidates that a judgement speaks of."""
    kind = judgement.WhichOneof("kind")
    if kind == "pair":
        return [judgement.pair.first_candidate_id, judgement.pair.second_candidate_id]
    if kind is None or kind == "skip":
        return []
    candidate_id: str = getattr(judgement, kind).candidate_id
    return [candidate_id] if candidate_id else []


def check_id(field: str, value: str) -> None:
    """Raises InvalidArgument for an empty or overlong id, or one with control characters."""
    if not value:
        raise InvalidArgument(f"{field} is empty")
    if len(value) > MAX_ID_CHARS or not value.isprintable():
        raise InvalidArgument(
            f"{field} {value[:80]!r} must be at most {MAX_ID_CHARS} printable characters"
        )


def check_choice(field: str, value: int, enum: Any) -> None:
    """Raises InvalidArgument where an enum is unset or unknown to this version."""
    if value == 0 or value not in enum.values():
        prefix = enum.keys()[0].removesuffix("UNSPECIFIED")
        allowed = ", ".join(name.removeprefix(prefix).lower() for name in enum.keys()[1:])
        raise InvalidArgument(f"{field} is {value or 'not set'}; use {allowed}")


def _check_pair(pair: PairJudgement) -> None:
    ids = (pair.first_candidate_id, pair.second_candidate_id)
    check_id("pair.first_candidate_id", ids[0])
    check_id("pair.second_candidate_id", ids[1])
    if ids[0] == ids[1]:
        raise InvalidArgument(f"pair compares {ids[0]!r} with itself; name two candidates")
    check_choice("pair.outcome", pair.outcome, PairOutcome)
    if pair.HasField("strength"):
        _check_range("pair.strength", pair.strength, 1, 3)
    if pair.shown_left_candidate_id and pair.shown_left_candidate_id not in ids:
        raise InvalidArgument(
            f"pair.shown_left_candidate_id {pair.shown_left_candidate_id!r} is neither of the two"
        )
    for reason in pair.reasons:
        _check_text("pair.reasons", reason)


def _check_rating(rating: RatingJudgement) -> None:
    check_id("rating.candidate_id", rating.candidate_id)
    if rating.scale_min >= rating.scale_max:
        raise InvalidArgument(
            f"rating scale {rating.scale_min} to {rating.scale_max} is empty; set scale_min below "
            "scale_max"
        )
    _check_range("rating.value", rating.value, rating.scale_min, rating.scale_max)


def _check_mark(mark: RegionJudgement) -> None:
    check_id("region.candidate_id", mark.candidate_id)
    if mark.media_sha256:
        check_sha256(mark.media_sha256)
    check_region(mark.region)
    check_choice("region.label", mark.label, MarkLabel)
    _check_text("region.description", mark.description)
    if mark.HasField("importance"):
        _check_range("region.importance", mark.importance, 1, 100)
    if mark.HasField("linked_span"):
        _check_span("region.linked_span", mark.linked_span)


def _check_span_mark(mark: SpanJudgement) -> None:
    check_id("span.candidate_id", mark.candidate_id)
    _check_span("span.span", mark.span)
    check_choice("span.label", mark.label, MarkLabel)
    if mark.HasField("severity"):
        _check_range("span.severity", mark.severity, 1, 100)


def _check_edit(edit: EditJudgement) -> None:
    check_id("edit.candidate_id", edit.candidate_id)
    if not edit.edited.parts:
        raise InvalidArgument("edit.edited has no parts; send the whole edited answer")
    for part in edit.edited.parts:
        if part.WhichOneof("kind") is None:
            raise InvalidArgument("edit.edited has an empty part; set text, media or tokens")


def _check_skip(skip: SkipJudgement) -> None:
    _check_text("skip.reason", skip.reason)


def _check_flag(flag: FlagJudgement) -> None:
    if flag.candidate_id:  # else the item itself is flagged
        check_id("flag.candidate_id", flag.candidate_id)
    _check_text("flag.reason", flag.reason)


def _check_range(field: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InvalidArgument(f"{field} is {value}; it must be {low} to {high}")


def _check_span(field: str, span: TextSpan) -> None:
    if span.start >= span.end:
        raise InvalidArgument(f"{field} from {span.start} to {span.end} is empty; end is exclusive")


def _check_text(field: str, text: str) -> None:
    if len(text) > MAX_TEXT_CHARS:
        raise InvalidArgument(f"{field} has {len(text)} characters; at most {MAX_TEXT_CHARS}")


_CHECKS: dict[str, Callable[[Any], None]] = {
    "pair": _check_pair,
    "rating": _check_rating,
    "region": _check_mark,
    "span": _check_span_mark,
    "edit": _check_edit,
    "skip": _check_skip,
    "flag": _check_flag,
}
