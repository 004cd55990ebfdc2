"""Several scorers as one: a weighted sum, or an ensemble. An item is SCORED only if every term
scores it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from services.reward.scorers.blend_rule import BlendRule, deviation
from services.reward.scorers.contract import (
    CallTiming,
    Outcome,
    ScoredCall,
    Scorer,
    ScorerInfo,
    ScoreStatus,
    ScoringCall,
)

# Where terms disagree on why there is no score, the first of these is said.
_SAID_FIRST = (
    ScoreStatus.REJECTED,
    ScoreStatus.FAILED,
    ScoreStatus.TIMEOUT,
    ScoreStatus.ABSTAIN,
)


@dataclass(frozen=True, slots=True)
class WeightedScorer:
    """One term: a resident scorer, fixed when the blend was made, and its weight."""

    scorer: Scorer
    weight: float


class BlendScorer(Scorer):
    """Scores by its terms, all at once; each reports its own reward as a subscore, and an ensemble
    their deviation as std."""

    def __init__(
        self, name: str, terms: Sequence[WeightedScorer], rule: BlendRule = BlendRule()
    ) -> None:
        infos = [term.scorer.info for term in terms]
        is_global = all(info.comparability == "global" for info in infos)
        metadata = {term.scorer.info.name: str(term.weight) for term in terms}
        metadata["aggregation"] = rule.aggregation
        if rule.std_weight:
            metadata["std_weight"] = str(rule.std_weight)
        super().__init__(
            ScorerInfo(name, "blend", "global" if is_global else "within_prompt", metadata=metadata)
        )
        self.terms = tuple(terms)
        self._rule = rule

    async def score(self, call: ScoringCall) -> ScoredCall:
        tasks = [asyncio.create_task(term.scorer.score(call)) for term in self.terms]
        try:
            calls = await asyncio.gather(*tasks)
        finally:  # a term whose queue is full ends the others too
            for task in tasks:
                task.cancel()
        columns = zip(*(scored.outcomes for scored in calls), strict=True)
        outcomes = [self._blended(outcomes) for outcomes in columns]
        return ScoredCall(outcomes, _slowest([scored.timing for scored in calls]))

    async def close(self) -> None:
        """Nothing to free: the terms are residents of their own."""

    def _blended(self, outcomes: Sequence[Outcome]) -> Outcome:
        named = [
            (term.scorer.info.name, outcome)
            for term, outcome in zip(self.terms, outcomes, strict=True)
        ]
        for status in _SAID_FIRST:
            errors = [f"{name}: {one.error}" for name, one in named if one.status is status]
            if errors:
                return Outcome.not_scored(status, "; ".join(errors))
        rewards = {name: one.reward for name, one in named if one.reward is not None}
        assert len(rewards) == len(self.terms)
        weighted = [term.weight * rewards[term.scorer.info.name] for term in self.terms]
        std = None if self._rule.aggregation == "sum" else deviation(weighted)
        return Outcome.scored(self._rule.reward(weighted), std=std, subscores=rewards)


def _slowest(timings: Sequence[CallTiming]) -> CallTiming:
    """The terms run side by side, so each part took as long as its slowest term."""
    return CallTiming(
        preprocess_s=max(t.preprocess_s for t in timings),
        queue_s=max(t.queue_s for t in timings),
        compute_s=max(t.compute_s for t in timings),
        num_tokens=max(t.num_tokens for t in timings),
    )
