"""POST /v1/feedback: what an application's users say of an answer, as judgements.

    {"completion_id": "chatcmpl-…", "choice": 0, "key": "overall", "value": "up"}

`value` is a thumb ("up" or "down"), `score` a number on a `scale` (0 to 1 where none is given);
both become a rating. `correction` is the answer as it should have been, and becomes an edit.
`comment` goes along with them; alone, it becomes a flag. A header `Idempotency-Key` makes a repeat
harmless.
"""

import asyncio
import time
import uuid
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Header
from pydantic import Field, model_validator

from protos.v1.content_pb2 import ROLE_ASSISTANT, Message, Part
from protos.v1.feedback_log_pb2 import (
    GetTrajectoryRequest,
    JudgementReceipt,
    SubmitJudgementsRequest,
)
from protos.v1.judgement_pb2 import (
    RATER_KIND_APPLICATION,
    EditJudgement,
    FlagJudgement,
    Judgement,
    RatingJudgement,
)
from protos.v1.trajectory_pb2 import Trajectory
from services.common.errors import NotFound
from services.gateway.backends import calling
from services.gateway.errors import BadRequest
from services.gateway.gateway import Gateway, GatewayDep, TimeoutDep
from services.gateway.openai.fields import StrictBody, Words, refuse_together

router = APIRouter()

# Ratings are whole numbers in the contract.
_STEPS = 1000
_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 0.5


class Scale(StrictBody):
    """The worst and the best score."""

    min: float
    max: float

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.min >= self.max:
            refuse_together("scale", f"scale.min {self.min:g} must be below scale.max {self.max:g}")
        return self


class FeedbackRequest(StrictBody):
    """What the application sends."""

    completion_id: Words = Field(min_length=1, max_length=128)
    choice: int = Field(0, ge=0, lt=1 << 31)
    key: Words = Field("overall", min_length=1, max_length=64)
    value: Literal["up", "down"] | None = None
    score: float | None = None
    scale: Scale = Scale(min=0, max=1)
    comment: Words | None = Field(None, min_length=1, max_length=10_000)
    correction: Words | None = Field(None, min_length=1, max_length=100_000)
    rater_id: Words = Field("application", min_length=1, max_length=128)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.value is not None and self.score is not None:
            refuse_together("score", "send value (a thumb) or score, not both")
        if (self.value, self.score, self.correction, self.comment) == (None,) * 4:
            refuse_together("value", "send at least one of value, score, correction and comment")
        if self.score is not None and not self.scale.min <= self.score <= self.scale.max:
            allowed = f"{self.scale.min:g} to {self.scale.max:g}"
            refuse_together("score", f"score is {self.score:g}; the scale is {allowed}")
        return self


@router.post("/v1/feedback")
async def submit_feedback(
    body: FeedbackRequest,
    gateway: GatewayDep,
    timeout_s: TimeoutDep,
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> dict[str, Any]:
    """Stores feedback; when this answers, it is on disk."""
    trajectory = await _recorded(body.completion_id, gateway, timeout_s)
    num_choices = len(trajectory.group.samples)
    if body.choice >= num_choices:
        raise BadRequest(f"choice is {body.choice}; the completion has {num_choices}", "choice")
    request = SubmitJudgementsRequest(judgements=judgements(body, idempotency_key))
    with calling("feedback"):
        answer = await gateway.backends.feedback.SubmitJudgements(request, timeout=timeout_s)
    _raise_first_error(answer.receipts)
    return {
        "object": "feedback",
        "completion_id": body.completion_id,
        "choice": body.choice,
        "judgement_ids": [receipt.judgement_id for receipt in answer.receipts],
        "repeated": all(receipt.repeated for receipt in answer.receipts),
    }


def judgements(body: FeedbackRequest, idempotency_key: str | None = None) -> list[Judgement]:
    """What the feedback says, kind by kind; the log dates it, so that a repeat is the same."""
    candidate_id = f"{body.completion_id}/{body.choice}"
    key = idempotency_key or uuid.uuid4().hex
    kinds: list[dict[str, Any]] = []
    if body.value is not None or body.score is not None:
        kinds.append({"rating": _rating(body, candidate_id)})
    if body.correction is not None:
        parts = [Part(text=body.correction)]
        edited = Message(role=ROLE_ASSISTANT, parts=parts)
        kinds.append({"edit": EditJudgement(candidate_id=candidate_id, edited=edited)})
    if not kinds:
        kinds.append({"flag": FlagJudgement(candidate_id=candidate_id, reason=body.comment or "")})
    return [
        Judgement(
            idempotency_key=f"{key}/{next(iter(kind))}",
            item_id=body.completion_id,
            rater_id=body.rater_id,
            rater_kind=RATER_KIND_APPLICATION,
            comment=body.comment or "",
            **kind,
        )
        for kind in kinds
    ]


def _rating(body: FeedbackRequest, candidate_id: str) -> RatingJudgement:
    """A thumb as 0 or 1; a score as it is where all is whole, else in thousandths."""
    value, low, high = float(body.value == "up"), 0.0, 1.0
    if body.score is not None:
        value, low, high = body.score, body.scale.min, body.scale.max
    whole = all(number.is_integer() for number in (value, low, high))
    steps = 1 if whole else _STEPS
    return RatingJudgement(
        candidate_id=candidate_id,
        dimension=body.key,
        value=round(value * steps),
        scale_min=round(low * steps),
        scale_max=round(high * steps),
    )


async def _recorded(completion_id: Words, gateway: Gateway, timeout_s: float) -> Trajectory:
    """The trajectory; one that was answered a moment ago may still be on its way to the log."""
    deadline_s = time.monotonic() + min(gateway.config.feedback_wait_s, timeout_s)
    wait_s = _FIRST_WAIT_S
    request = GetTrajectoryRequest(trajectory_id=completion_id)
    while True:
        try:
            with calling("feedback"):
                return await gateway.backends.feedback.GetTrajectory(request, timeout=timeout_s)
        except NotFound:
            if time.monotonic() + wait_s > deadline_s:
                raise NotFound(f"no completion {completion_id!r} has been recorded") from None
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


def _raise_first_error(receipts: Iterable[JudgementReceipt]) -> None:
    for receipt in receipts:
        if receipt.error:
            raise BadRequest(f"the feedback log refused it: {receipt.error}")
