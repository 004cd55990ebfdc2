"""From what services answered to what is learned from: the drop of law 3, the choice of targets.

The same functions read a live step, a resumed one and a replay.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.preprocessing.conversation import Medium
from models.preprocessing.prompt import Preprocessor
from protos.v1 import reward_model_pb2, trajectory_pb2
from services.common.errors import FailedPrecondition
from services.trainer.algorithms.groups import MIN_VALID
from services.trainer.learning.groups import Answer, PromptGroup

_FINISHED = (trajectory_pb2.FINISH_REASON_STOP, trajectory_pb2.FINISH_REASON_LENGTH)


@dataclass(frozen=True, slots=True, eq=False)
class Consumed:
    """Groups that can be learned from, and what was dropped by reason."""

    groups: tuple[PromptGroup, ...]
    dropped: Counter[str]


def scored_groups(
    groups: Sequence[trajectory_pb2.Group],
    scores: Mapping[str, reward_model_pb2.Score],
    media: Mapping[str, Medium],
    preprocessor: Preprocessor,
) -> Consumed:
    """Keeps what is SCORED, in groups of two or more: a failure is never a number."""
    dropped: Counter[str] = Counter()
    kept = []
    for group in groups:
        answers = []
        for sample in group.samples:
            reason = _drop_reason(sample, scores.get(sample.sample_id))
            if reason is None:
                answers.append(_answer(sample, scores[sample.sample_id].reward))
            else:
                dropped[reason] += 1
        if len(answers) >= MIN_VALID:
            kept.append(_prompt_group(group, answers, media, preprocessor))
        elif answers:
            dropped["GROUP_TOO_SMALL"] += len(answers)
    return Consumed(tuple(kept), dropped)


def best_answers(consumed: Consumed) -> Consumed:
    """Each group with its best answer alone; among equals the first."""
    best = (max(group.answers, key=lambda answer: answer.reward) for group in consumed.groups)
    groups = (replace(g, answers=(a,)) for g, a in zip(consumed.groups, best, strict=True))
    return Consumed(tuple(groups), consumed.dropped)


def target_groups(
    groups: Sequence[trajectory_pb2.Group], media: Mapping[str, Medium], preprocessor: Preprocessor
) -> Consumed:
    """Answers out of a data set, which nobody sampled or scored."""
    kept = (
        _prompt_group(group, [_answer(s, 0.0) for s in group.samples], media, preprocessor)
        for group in groups
    )
    return Consumed(tuple(kept), Counter())


def _drop_reason(sample: trajectory_pb2.Sample, score: reward_model_pb2.Score | None) -> str | None:
    if sample.finish_reason not in _FINISHED or not sample.token_ids:
        return "NOT_SAMPLED"
    if score is None:
        return "NOT_ANSWERED"
    if score.status != reward_model_pb2.SCORE_STATUS_SCORED:
        return reward_model_pb2.ScoreStatus.Name(score.status).removeprefix("SCORE_STATUS_")
    return None if score.HasField("reward") and np.isfinite(score.reward) else "FAILED"


def _answer(sample: trajectory_pb2.Sample, reward: float) -> Answer:
    logprobs_T = np.asarray(sample.logprobs or [0.0] * len(sample.token_ids), np.float32)
    return Answer(
        token_ids_T=np.asarray(sample.token_ids, np.int64),
        sampler_logprobs_T=logprobs_T,
        supports=tuple(_support(support) for support in sample.support),
        reward=reward,
    )


def _support(support: trajectory_pb2.Support) -> NDArray[np.int64] | None:
    """An empty one stands for a token that was not truncated."""
    return np.asarray(support.ids, np.int64) if support.ids else None


def _prompt_group(
    group: trajectory_pb2.Group,
    answers: Sequence[Answer],
    media: Mapping[str, Medium],
    preprocessor: Preprocessor,
) -> PromptGroup:
    if group.preprocessing_fingerprint != preprocessor.fingerprint:
        raise FailedPrecondition(
            f"group {group.group_id} was preprocessed by {group.preprocessing_fingerprint!r}, the"
            f" trainer's model by {preprocessor.fingerprint!r}; its ids mean something else"
        )
    return PromptGroup(
        prompt_ids_L=np.asarray(group.prompt_token_ids, np.int64),
        media=preprocessor.media_arrays([media[sha] for sha in group.media_sha256]),
        answers=tuple(answers),
    )
