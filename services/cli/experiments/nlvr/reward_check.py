"""Which of "true" and "false" the reward model prefers on held-out pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from protos.v1 import feedback_log_pb2, reward_model_pb2, versions_pb2
from services.cli.evaluation.intervals import Estimate, bootstrap_mean
from services.cli.experiments.nlvr.source import ANSWERS, NlvrExample
from services.cli.stack.connection import Services

_ITEMS_PER_REQUEST = 64


@dataclass(frozen=True, slots=True)
class RewardAgreement:
    """How often the preferred answer is the label, and how often it is a person's vote."""

    with_label: Estimate | None
    with_votes: Estimate | None


def check_reward(
    services: Services,
    version: str,
    examples: Sequence[NlvrExample],
    items: Sequence[feedback_log_pb2.Item],
) -> RewardAgreement:
    """Scores both answers of each example; those without two scores are left out."""
    labels, votes = [], []
    for start in range(0, len(items), _ITEMS_PER_REQUEST):
        stop = start + _ITEMS_PER_REQUEST
        margins = _margins(services, version, items[start:stop])
        for example, margin in zip(examples[start:stop], margins, strict=True):
            if margin is not None:
                labels.append(_agreement(margin, example.label))
                votes += [_agreement(margin, vote) for vote in example.decided]
    return RewardAgreement(bootstrap_mean(labels), bootstrap_mean(votes))


def _margins(
    services: Services, version: str, items: Sequence[feedback_log_pb2.Item]
) -> list[float | None]:
    """Reward of "true" minus that of "false"."""
    request = reward_model_pb2.ScoreRequest(
        request_id=uuid4().hex,
        model=versions_pb2.ModelRef(version=version),
        deterministic=True,
        items=[
            reward_model_pb2.ScoreItem(
                item_id=c.candidate_id, prompt=item.prompt, answer=c.answer, task=item.task
            )
            for item in items
            for c in item.candidates
        ],
    )
    rewards = [
        score.reward if score.HasField("reward") else None
        for score in services.reward.Score(request).scores
    ]
    pairs = zip(rewards[::2], rewards[1::2], strict=True)
    return [None if true is None or false is None else true - false for true, false in pairs]


def _agreement(margin: float, answer: str) -> float:
    if margin == 0:
        return 0.5
    return float((margin > 0) == (answer == ANSWERS[0]))
