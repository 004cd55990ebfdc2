"""Asks the reward service for scores, on behalf of protocols that have no place for a failure."""

import math
import re
from collections.abc import Sequence

from protos.v1 import content_pb2
from protos.v1 import reward_model_pb2 as pb
from protos.v1.versions_pb2 import ModelRef
from services.common.errors import AttuneError, DeadlineExceeded
from services.gateway.backends import calling
from services.gateway.errors import BadRequest
from services.gateway.gateway import Gateway

_OWN_NAME = re.compile(r"(program|user|blend)/.+|reward-[0-9a-f]{16}")


class NotScoredError(AttuneError):
    """An item has no score: the scorer failed or declined. Never a number in its place."""

    http_status = 422
    code_name = "not_scored"


def exchange(prompt: str, answer: str, index: int, reference_json: str = "") -> pb.ScoreItem:
    """An answer in words to a prompt in words."""
    return pb.ScoreItem(
        item_id=str(index),
        prompt=content_pb2.Prompt(messages=[_message(content_pb2.ROLE_USER, prompt)]),
        answer=_message(content_pb2.ROLE_ASSISTANT, answer),
        reference_json=reference_json,
    )


async def scores_of(
    items: Sequence[pb.ScoreItem], model: str | None, gateway: Gateway, timeout_s: float
) -> list[pb.Score]:
    """A score for each item, in order. Raises BadRequest, NotScoredError, DeadlineExceeded of the
    first that has none."""
    limit = gateway.config.max_scores
    if len(items) > limit:
        raise BadRequest(f"{len(items)} items; at most {limit} in one request")
    request = pb.ScoreRequest(
        model=_ref(model or gateway.config.reward_model), items=items, lane=pb.LANE_TRAINING
    )
    with calling("reward"):
        answer = await gateway.backends.reward.Score(request, timeout=timeout_s)
    for index, score in enumerate(answer.scores):
        _check(index, score)
    return list(answer.scores)


def likelihood(reward: float) -> float:
    """The reward as a number in 0..1: the logistic function, as Bradley and Terry have it."""
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, reward))))


def _check(index: int, score: pb.Score) -> None:
    message = f"item {index} was not scored: {score.error}"
    if score.status == pb.SCORE_STATUS_REJECTED:
        raise BadRequest(message)
    if score.status == pb.SCORE_STATUS_TIMEOUT:
        raise DeadlineExceeded(message)
    if score.status != pb.SCORE_STATUS_SCORED:
        raise NotScoredError(message)


def _message(role: "content_pb2.Role.ValueType", text: str) -> content_pb2.Message:
    return content_pb2.Message(role=role, parts=[content_pb2.Part(text=text)] if text else [])


def _ref(model: str) -> ModelRef:
    return ModelRef(version=model) if _OWN_NAME.fullmatch(model) else ModelRef(alias=model)
