"""Scores a call, whatever protocol it came by: the scorer is found, asked and counted."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from protos.v1.versions_pb2 import ModelRef
from services.reward.metrics import RewardMetrics
from services.reward.residents import Residents
from services.reward.scorers.contract import (
    CallTiming,
    Lane,
    Outcome,
    Scorer,
    ScoringCall,
    ScoringItem,
)

# What is kept of a call's deadline to send the answer: the scores that are there must arrive.
_ANSWER_SHARE = 0.1
_ANSWER_MAX_S = 0.5


@dataclass(frozen=True, slots=True)
class Scored:
    """One outcome for each item, in their order, and who gave them."""

    scorer: Scorer
    outcomes: list[Outcome]
    timing: CallTiming


class Scoring:
    """What the servicers share."""

    def __init__(self, residents: Residents, metrics: RewardMetrics) -> None:
        self._residents = residents
        self._metrics = metrics

    async def score(
        self,
        ref: ModelRef,
        items: Sequence[ScoringItem | Outcome],
        *,
        deterministic: bool = False,
        lane: Lane = Lane.TRAINING,
        deadline_s: float | None = None,
    ) -> Scored:
        """Items that were refused already keep their places. Raises NotFound, ResourceExhausted."""
        scorer = self._residents.resolve(ref)
        call = ScoringCall(
            items=[item for item in items if isinstance(item, ScoringItem)],
            deterministic=deterministic,
            lane=lane,
            deadline_s=deadline_s,
        )
        scored = await scorer.score(call)
        given = iter(scored.outcomes)
        outcomes = [item if isinstance(item, Outcome) else next(given) for item in items]
        self._metrics.count_call(scorer.info.name, outcomes, scored.timing)
        return Scored(scorer, outcomes, scored.timing)


def scoring_deadline_s(context: "grpc.aio.ServicerContext[Any, Any]") -> float | None:
    """When scoring must end, in the event loop's time, so that the answer is there in time."""
    left_s = context.time_remaining()
    if left_s is None:
        return None
    return asyncio.get_running_loop().time() + left_s - min(_ANSWER_MAX_S, left_s * _ANSWER_SHARE)
