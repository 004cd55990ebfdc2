"""Score: answers in, rewards out. A failure is a status, never a number."""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from attune_client.content import Content, Message, Prompt, answer_to_proto, prompt_to_proto
from attune_client.errors import AttuneError
from attune_client.models import model_ref
from attune_client.protos.v1 import reward_model_pb2 as pb

Json: TypeAlias = "str | float | bool | Sequence[Json] | Mapping[str, Json] | None"


class ScoreStatus(StrEnum):
    """What became of an item; only a scored one has a reward."""

    SCORED = "scored"
    FAILED = "failed"
    TIMEOUT = "timeout"
    ABSTAIN = "abstain"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


_STATUSES = {
    pb.SCORE_STATUS_SCORED: ScoreStatus.SCORED,
    pb.SCORE_STATUS_FAILED: ScoreStatus.FAILED,
    pb.SCORE_STATUS_TIMEOUT: ScoreStatus.TIMEOUT,
    pb.SCORE_STATUS_ABSTAIN: ScoreStatus.ABSTAIN,
    pb.SCORE_STATUS_REJECTED: ScoreStatus.REJECTED,
}


@dataclass(frozen=True, slots=True)
class Answered:
    """A prompt with an answer to be scored; `reference` is what a program checks against."""

    prompt: Prompt
    answer: Content | Message
    reference: Json = None
    task: str = ""
    item_id: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """One item's score. `reward` is there if and only if it was scored."""

    item_id: str
    status: ScoreStatus
    reward: float | None
    error: str | None
    proto: pb.Score = field(repr=False)  # subscores, credit, uncertainty


class NotScored(AttuneError):
    """An item has no reward; `score` says why."""

    def __init__(self, index: int, score: Score) -> None:
        reason = score.error or "no reason was given"
        super().__init__(f"item {index} ({score.item_id!r}) is {score.status}: {reason}")
        self.score = score


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of one request, in the order of its items."""

    reward_version: str
    scores: tuple[Score, ...]

    def __iter__(self) -> Iterator[Score]:
        return iter(self.scores)

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: int) -> Score:
        return self.scores[index]

    def rewards(self) -> list[float]:
        """Every reward. Raises NotScored where an item has none."""
        return [_reward(index, score) for index, score in enumerate(self.scores)]


def score_request(items: Sequence[Answered], model: str, deterministic: bool) -> pb.ScoreRequest:
    """A request under a key of its own."""
    return pb.ScoreRequest(
        request_id=f"score-{uuid.uuid4().hex}",
        model=model_ref(model),
        items=[_item_to_proto(item) for item in items],
        deterministic=deterministic,
        want=pb.ScoreOutputs(subscores=True, token_credit=True, region_map=True, rationale=True),
    )


def scores_from_proto(response: pb.ScoreResponse) -> Scores:
    """The answer as plain values."""
    return Scores(response.reward_version, tuple(map(_score_from_proto, response.scores)))


def _item_to_proto(item: Answered) -> pb.ScoreItem:
    return pb.ScoreItem(
        item_id=item.item_id,
        prompt=prompt_to_proto(item.prompt),
        answer=answer_to_proto(item.answer),
        reference_json="" if item.reference is None else json.dumps(item.reference),
        task=item.task,
    )


def _score_from_proto(score: pb.Score) -> Score:
    return Score(
        item_id=score.item_id,
        status=_STATUSES.get(score.status, ScoreStatus.UNKNOWN),
        reward=score.reward if score.HasField("reward") else None,
        error=score.error or None,
        proto=score,
    )


def _reward(index: int, score: Score) -> float:
    if score.reward is None:
        raise NotScored(index, score)
    return score.reward
