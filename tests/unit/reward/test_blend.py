"""Blends: weights, statuses, comparability, and terms that cannot take the call."""

import asyncio

import pytest
from pydantic import ValidationError

from services.common.errors import ResourceExhausted
from services.reward.scorers.blend import BlendScorer, WeightedScorer
from services.reward.scorers.blend_rule import BlendRule
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


def blend(*terms: tuple[Scorer, float], **rule: object) -> BlendScorer:
    weighted = [WeightedScorer(scorer, weight) for scorer, weight in terms]
    return BlendScorer("blend/0", weighted, BlendRule.model_validate(rule))


async def test_a_blend_is_the_weighted_sum_with_its_terms_as_subscores() -> None:
    a, b = Fixed("a", Outcome.scored(0.5)), Fixed("b", Outcome.scored(2.0))
    scored = await blend((a, 1.0), (b, -0.25)).score(ScoringCall([item(), item()]))
    assert [o.reward for o in scored.outcomes] == [0.0, 0.0]
    assert scored.outcomes[0].subscores == {"a": 0.5, "b": 2.0}


@pytest.mark.parametrize(
    ("rule", "reward"),
    [
        ({"aggregation": "mean"}, 1.0),
        ({"aggregation": "min"}, -1.0),
        ({"aggregation": "mean_minus_std", "std_weight": 0.5}, 0.0),  # 1, 3 and -1 deviate by 2
    ],
)
async def test_an_ensemble_says_how_far_its_members_disagree(
    rule: dict[str, object], reward: float
) -> None:
    members = [(Fixed(f"m{i}", Outcome.scored(r)), 1.0) for i, r in enumerate((1.0, 3.0, -1.0))]
    [outcome] = (await blend(*members, **rule).score(ScoringCall([item()]))).outcomes
    assert (outcome.reward, outcome.std) == (reward, 2.0)
    assert list(outcome.subscores.values()) == [1.0, 3.0, -1.0]


async def test_an_ensemble_of_one_is_that_one() -> None:
    one = blend((Fixed("a", Outcome.scored(2.0)), 0.5), aggregation="mean_minus_std", std_weight=9)
    [outcome] = (await one.score(ScoringCall([item()]))).outcomes
    assert (outcome.reward, outcome.std) == (1.0, None)


@pytest.mark.parametrize(
    "rule",
    [
        {"aggregation": "min", "std_weight": 1.0},
        {"aggregation": "mean_minus_std", "std_weight": -1.0},
        {"aggregation": "mean_minus_std", "std_weight": float("nan")},
        {"aggregation": "median"},
    ],
)
def test_a_rule_that_means_nothing_is_refused(rule: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        BlendRule.model_validate(rule)


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
