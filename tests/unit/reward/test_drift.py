"""The distribution of rewards: stable where it is the same, and seen where it moves."""

import math
from random import Random

import pytest

from services.reward.drift import RewardDrift, stability_index


def normal(seed: int, mean: float = 0.0, std: float = 1.0) -> list[float]:
    rng = Random(seed)
    return [rng.gauss(mean, std) for _ in range(1000)]


def test_the_same_distribution_is_stable() -> None:
    assert stability_index(normal(1), normal(1)) == 0
    assert stability_index(normal(1), normal(2)) < 0.05


@pytest.mark.parametrize(("mean", "std"), [(0.7, 1.0), (0.0, 0.4), (0.0, 2.5)])
def test_a_distribution_that_moves_or_narrows_is_seen(mean: float, std: float) -> None:
    assert stability_index(normal(1), normal(2, mean, std)) > 0.2


def test_rewards_that_are_all_equal_compare_with_themselves() -> None:
    assert stability_index([1.0] * 1000, [1.0] * 1000) == 0
    assert stability_index([1.0] * 1000, [0.0] * 1000) > 0.2


def test_nothing_is_said_before_there_is_enough() -> None:
    drift = RewardDrift(window=4)
    for reward in (0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0):
        drift.add(reward)
    assert math.isnan(drift.index())
    drift.add(3.0)
    assert drift.index() == 0
    for _ in range(4):
        drift.add(9.0)
    assert drift.index() > 0.2
