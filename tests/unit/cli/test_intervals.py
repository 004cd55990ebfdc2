from itertools import product

import pytest

from services.cli.evaluation.intervals import bootstrap_mean, bootstrap_mean_of_means


def test_equal_values_have_an_interval_of_no_width():
    estimate = bootstrap_mean([0.5] * 20)
    assert estimate is not None
    assert (estimate.mean, estimate.low, estimate.high) == (0.5, 0.5, 0.5)
    assert estimate.count == 20


def test_two_values_reach_both_ends():
    # Means of two draws from {0, 1} are 0, ½, 1 with chances ¼, ½, ¼.
    estimate = bootstrap_mean([0.0, 1.0])
    assert estimate is not None
    assert (estimate.mean, estimate.low, estimate.high) == (0.5, 0.0, 1.0)


def test_four_values_agree_with_all_resamples_counted():
    # Of 4**4 resamples of (0, 0, 0, 1), a mean of 1 has chance 1/256 = 0.4 %, of ¾ 12/256 = 4.7 %:
    # the upper end lies at ¾; 81/256 have mean 0, the lower end.
    means = sorted(sum(draw) / 4 for draw in product((0, 0, 0, 1), repeat=4))
    assert (means[round(0.025 * 256)], means[round(0.975 * 256)]) == (0.0, 0.75)
    estimate = bootstrap_mean([0.0, 0.0, 0.0, 1.0])
    assert estimate is not None
    assert (estimate.low, estimate.high) == (0.0, 0.75)


def test_the_width_is_that_of_the_normal_approximation_for_many_values():
    estimate = bootstrap_mean([0.0, 1.0] * 500)
    assert estimate is not None
    half_width = 1.96 * 0.5 / 1000**0.5
    assert estimate.low == pytest.approx(0.5 - half_width, abs=0.003)
    assert estimate.high == pytest.approx(0.5 + half_width, abs=0.003)


def test_families_weigh_the_same_whatever_their_size():
    estimate = bootstrap_mean_of_means([[1.0] * 10, [0.0] * 1000])
    assert estimate is not None
    assert estimate.mean == 0.5
    assert estimate.count == 1010


def test_no_values_give_no_number():
    assert bootstrap_mean([]) is None
    assert bootstrap_mean_of_means([]) is None
    assert bootstrap_mean_of_means([[1.0], []]) is None


def test_the_same_seed_gives_the_same_interval():
    values = [i % 7 / 7 for i in range(100)]
    assert bootstrap_mean(values, seed=3) == bootstrap_mean(values, seed=3)
