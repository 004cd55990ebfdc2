"""Advantages against numbers computed by hand."""

import math

import torch

from services.trainer.algorithms.groups import usable_groups
from services.trainer.algorithms.grpo import grpo_advantages
from services.trainer.algorithms.ppo import (
    clipped_value_loss,
    generalized_advantages,
    terminal_rewards,
    whiten,
)
from services.trainer.algorithms.rloo import rloo_advantages


def all_valid(rewards_PG):
    return torch.ones_like(rewards_PG, dtype=torch.bool)


def test_grpo_centres_and_divides_by_the_unbiased_std():
    rewards_PG = torch.tensor([[0.0, 1.0, 1.0, 0.0]])
    std = math.sqrt(4 * 0.25 / 3)
    expected = torch.tensor([[-0.5, 0.5, 0.5, -0.5]]) / std
    torch.testing.assert_close(grpo_advantages(rewards_PG, all_valid(rewards_PG)), expected)


def test_dr_grpo_only_centres():
    rewards_PG = torch.tensor([[0.0, 1.0, 2.0]])
    advantages_PG = grpo_advantages(rewards_PG, all_valid(rewards_PG), divide_by_std=False)
    torch.testing.assert_close(advantages_PG, torch.tensor([[-1.0, 0.0, 1.0]]))


def test_a_group_without_variance_has_zero_advantage():
    rewards_PG = torch.full((1, 7), 0.1)
    for divide_by_std in (True, False):
        advantages_PG = grpo_advantages(rewards_PG, all_valid(rewards_PG), divide_by_std)
        assert torch.equal(advantages_PG, torch.zeros(1, 7))


def test_invalid_samples_take_no_part_in_statistics():
    rewards_PG = torch.tensor([[1.0, 0.0, torch.nan]])
    valid_PG = torch.tensor([[True, True, False]])
    for advantages in (grpo_advantages, rloo_advantages):
        with_invalid_PG = advantages(rewards_PG, valid_PG)
        without_PG = advantages(rewards_PG[:, :2], valid_PG[:, :2])
        torch.testing.assert_close(with_invalid_PG[:, :2], without_PG)
        assert with_invalid_PG[0, 2] == 0


def test_a_group_of_fewer_than_two_valid_samples_is_dropped():
    valid_PG = torch.tensor([[True, False], [False, False], [True, True]])
    rewards_PG = torch.tensor([[3.0, 0.0], [3.0, 1.0], [3.0, 1.0]])
    assert usable_groups(valid_PG).tolist() == [False, False, True]
    for advantages in (grpo_advantages, rloo_advantages):
        assert torch.equal(advantages(rewards_PG, valid_PG)[:2], torch.zeros(2, 2))


def test_rloo_compares_with_the_mean_of_the_others():
    rewards_PG = torch.tensor([[1.0, 2.0, 6.0]])
    expected = torch.tensor([[1 - 4.0, 2 - 3.5, 6 - 1.5]])
    torch.testing.assert_close(rloo_advantages(rewards_PG, all_valid(rewards_PG)), expected)


def test_generalized_advantages_by_hand():
    rewards_BT = torch.tensor([[0.0, 1.0]])
    values_BT = torch.tensor([[0.5, 0.25]])
    mask_BT = torch.ones(1, 2, dtype=torch.bool)
    advantages_BT, returns_BT = generalized_advantages(rewards_BT, values_BT, mask_BT, 0.9, 0.8)
    last = 1 - 0.25
    first = (0.9 * 0.25 - 0.5) + 0.9 * 0.8 * last
    torch.testing.assert_close(advantages_BT, torch.tensor([[first, last]]))
    torch.testing.assert_close(returns_BT, torch.tensor([[first + 0.5, 1.0]]))


def test_generalized_advantages_skip_masked_positions():
    mask_BT = torch.tensor([[True, False, True, False]])
    rewards_BT = torch.tensor([[0.0, 9.0, 1.0, 9.0]])
    values_BT = torch.tensor([[0.5, 7.0, 0.25, 7.0]])
    advantages_BT, returns_BT = generalized_advantages(rewards_BT, values_BT, mask_BT, 0.9, 0.8)
    dense, dense_returns = generalized_advantages(
        rewards_BT[mask_BT][None], values_BT[mask_BT][None], torch.ones(1, 2, dtype=torch.bool),
        0.9, 0.8,
    )  # fmt: skip
    torch.testing.assert_close(advantages_BT[mask_BT][None], dense)
    torch.testing.assert_close(returns_BT[mask_BT][None], dense_returns)
    assert torch.equal(advantages_BT[~mask_BT], torch.zeros(2))


def test_with_lambda_and_gamma_one_the_return_is_the_reward():
    rewards_BT = terminal_rewards(torch.tensor([2.0]), torch.tensor([[True, True, False]]))
    assert rewards_BT.tolist() == [[0.0, 2.0, 0.0]]
    values_BT = torch.tensor([[0.3, -0.1, 5.0]])
    mask_BT = torch.tensor([[True, True, False]])
    _, returns_BT = generalized_advantages(rewards_BT, values_BT, mask_BT, 1.0, 1.0)
    torch.testing.assert_close(returns_BT, torch.tensor([[2.0, 2.0, 0.0]]))


def test_whitening_looks_at_the_mask_only():
    values_BT = torch.tensor([[1.0, 3.0, 100.0]])
    mask_BT = torch.tensor([[True, True, False]])
    torch.testing.assert_close(whiten(values_BT, mask_BT), torch.tensor([[-1.0, 1.0, 0.0]]))


def test_the_value_loss_takes_the_worse_of_clipped_and_free():
    value, old, target = torch.tensor([[1.0]]), torch.tensor([[0.0]]), torch.tensor([[2.0]])
    clipped, free = (clipped_value_loss(value, old, target, clip) for clip in (0.2, None))
    torch.testing.assert_close(clipped, torch.tensor([[(0.2 - 2) ** 2 / 2]]))
    torch.testing.assert_close(free, torch.tensor([[0.5]]))
