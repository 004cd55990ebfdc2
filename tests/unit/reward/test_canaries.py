"""Canaries: what counts as moved, what as lost, and which items they are."""

from services.common.world.families.exercise import FAMILIES
from services.reward.canaries import canary_items, num_lost, shift
from services.reward.scorers.contract import Outcome, ScoreStatus

LATE = Outcome.not_scored(ScoreStatus.TIMEOUT, "late")


def scored(*rewards: float) -> list[Outcome]:
    return [Outcome.scored(reward) for reward in rewards]


def test_the_item_that_moved_most_is_told() -> None:
    assert shift(scored(1.0, 2.0, 3.0), scored(1.0, 2.0, 3.0)) == 0
    assert shift(scored(1.0, 2.0, 3.0), scored(1.5, 2.0, 1.0)) == 2
    assert shift([LATE], [LATE]) == 0


def test_an_item_without_a_score_is_lost_where_it_had_one() -> None:
    assert num_lost([LATE, *scored(1.0, 2.0)], [*scored(0.0), LATE, *scored(2.0)]) == 1


def test_canaries_are_the_same_each_time_and_of_every_family() -> None:
    first, again = canary_items(), canary_items.__wrapped__()
    assert [item.conversation for item in first] == [item.conversation for item in again]
    assert {item.item_id.split("-")[0] for item in first} >= set(FAMILIES)
