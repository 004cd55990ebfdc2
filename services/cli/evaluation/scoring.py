"""Scores of answers. What is not SCORED keeps its status and is never a number (DESIGN law 3)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from protos.v1 import reward_model_pb2, versions_pb2
from protos.v1.reward_model_pb2_grpc import RewardModelStub
from services.cli.evaluation.sampling import Answer
from services.cli.evaluation.tasks import ScorerChoice
from services.common.codecs import prompt_to_proto, turn_to_proto


@dataclass(frozen=True, slots=True, eq=False)
class ScoredAnswer:
    """`reward` is there if and only if `status` is "scored"."""

    answer: Answer
    status: str
    reward: float | None
    strict: float | None
    error: str = ""


def scorer_ref(reward: RewardModelStub, choice: ScorerChoice) -> versions_pb2.ModelRef:
    """Names the scorer, after loading a user's file."""
    if choice.alias:
        return versions_pb2.ModelRef(alias=choice.alias)
    if choice.version:
        return versions_pb2.ModelRef(version=choice.version)
    user = reward_model_pb2.UserScorer(file=str(choice.user_file), function=choice.user_function)
    request = reward_model_pb2.LoadModelRequest(request_id=uuid4().hex, user_scorer=user)
    return versions_pb2.ModelRef(version=reward.LoadModel(request).model.name)


def score_answers(
    reward: RewardModelStub, scorer: versions_pb2.ModelRef, answers: Sequence[Answer]
) -> list[ScoredAnswer]:
    """In the order of the answers; those that failed to be sampled are not sent."""
    whole = [answer for answer in answers if answer.error is None]
    request = reward_model_pb2.ScoreRequest(
        request_id=uuid4().hex,
        model=scorer,
        items=[_score_item(answer) for answer in whole],
        deterministic=True,
        want=reward_model_pb2.ScoreOutputs(subscores=True),
    )
    scores = iter(reward.Score(request).scores if whole else ())
    return [
        _scored(answer, next(scores)) if answer.error is None else _unsampled(answer)
        for answer in answers
    ]


def _score_item(answer: Answer) -> reward_model_pb2.ScoreItem:
    item = answer.item
    return reward_model_pb2.ScoreItem(
        item_id=f"{item.item_id}/{answer.index}",
        prompt=prompt_to_proto(item.conversation),
        answer=answer.message,
        reference_json=json.dumps(item.reference),
        task=item.family,
        reference_answers=[turn_to_proto(item.target)] if item.target else [],
    )


def _scored(answer: Answer, score: reward_model_pb2.Score) -> ScoredAnswer:
    status = reward_model_pb2.ScoreStatus.Name(score.status)
    return ScoredAnswer(
        answer=answer,
        status=status.removeprefix("SCORE_STATUS_").lower(),
        reward=score.reward if score.HasField("reward") else None,
        strict=score.subscores.get("strict"),
        error=score.error,
    )


def _unsampled(answer: Answer) -> ScoredAnswer:
    return ScoredAnswer(answer, "not sampled", None, None, answer.error or "")
