"""Blends: weights, statuses, comparability, and terms that cannot take the call."""

import asyncio

import pytest

from services.common.errors import ResourceExhausted
from services.reward.scorers.blend import BlendScorer, WeightedScorer
from services.reward.scorers.contract import (
    CallTiming,
    Comparability,
    Outcome,
    ScoredCall,
    Scorer,
    ScorerInfo,
    ScoreStatus,
    ScoringCall,
)
from tests.unit.reward.tiny_reward import item


class Fixed(Scorer):
    """Gives the same outcome to every item; or what it was made to raise."""

    def __init__(
        self,
        name: str,
        outcome: Outcome | Exception,
        comparability: Comparability = "global",
        compute_s: float = 0.0,
    ) -> None:
        super().__init__(ScorerInfo(name, "program", comparability))
        self._outcome = outcome
        self._timing = CallTiming(compute_s=compute_s)
        self.was_cancelled = False

    async def score(self, call: ScoringCall) -> ScoredCall:
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return ScoredCall([self._outcome] * len(call.items), self._timing)

    async def close(self) -> None:
        pass


class Endless(Fixed):
    """Never answers, and remembers that it was told to stop."""

    async def score(self, call: ScoringCall) -> ScoredCall:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        raise AssertionError


def not_scored(status: ScoreStatus) -> Outcome:
    return Outcome.not_scored(status, f"it is {status}")


def blend(*terms: tuple[Scorer, float]) -> BlendScorer:
    return BlendScorer("blend/0", [WeightedScorer(scorer, weight) for scorer, weight in terms])


async def test_a_blend_is_the_weighted_sum_with_its_terms_as_subscores() -> None:
    a, b = Fixed("a", Outcome.scored(0.5)), Fixed("b", Outcome.scored(2.0))
    scored = await blend((a, 1.0), (b, -0.25)).score(ScoringCall([item(), item()]))
    assert [o.reward for o in scored.outcomes] == [0.0, 0.0]
    assert scored.outcomes[0].subscores == {"a": 0.5, "b": 2.0}


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ((ScoreStatus.ABSTAIN, ScoreStatus.FAILED), ScoreStatus.FAILED),
        ((ScoreStatus.TIMEOUT, ScoreStatus.REJECTED), ScoreStatus.REJECTED),
        ((ScoreStatus.ABSTAIN, ScoreStatus.TIMEOUT), ScoreStatus.TIMEOUT),
    ],
)
async def test_an_item_that_one_term_does_not_score_has_no_reward(
    statuses: tuple[ScoreStatus, ...], expected: ScoreStatus
) -> None:
    terms = [(Fixed(f"t{i}", not_scored(status)), 1.0) for i, status in enumerate(statuses)]
    fine = (Fixed("fine", Outcome.scored(1.0)), 1.0)
    [outcome] = (await blend(fine, *terms).score(ScoringCall([item()]))).outcomes
    assert (outcome.status, outcome.reward) == (expected, None)
    assert f"it is {expected}" in outcome.error


async def test_a_sum_that_overflows_is_a_failure() -> None:
    a, b = Fixed("a", Outcome.scored(1e308)), Fixed("b", Outcome.scored(1e308))
    [outcome] = (await blend((a, 1.0), (b, 1.0)).score(ScoringCall([item()]))).outcomes
    assert outcome.status is ScoreStatus.FAILED


async def test_a_full_term_refuses_the_call_and_ends_the_others() -> None:
    endless = Endless("endless", Outcome.scored(0.0))
    full = Fixed("full", ResourceExhausted("full"))
    with pytest.raises(ResourceExhausted):
        await blend((endless, 1.0), (full, 1.0)).score(ScoringCall([item()]))
    await asyncio.sleep(0)
    assert endless.was_cancelled


async def test_a_blend_is_as_comparable_as_its_weakest_term_and_as_slow_as_its_slowest() -> None:
    a = Fixed("a", Outcome.scored(0.0), "global", compute_s=0.1)
    b = Fixed("b", Outcome.scored(0.0), "within_prompt", compute_s=0.4)
    both = blend((a, 1.0), (b, 1.0))
    assert both.info.comparability == "within_prompt"
    assert blend((a, 1.0)).info.comparability == "global"
    assert (await both.score(ScoringCall([item()]))).timing.compute_s == 0.4


async def test_an_empty_call_gives_an_empty_answer() -> None:
    assert (
        await blend((Fixed("a", Outcome.scored(1.0)), 1.0)).score(ScoringCall([]))
    ).outcomes == []
