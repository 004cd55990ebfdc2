"""The pair likelihood against its closed form."""

import math

import torch

from services.trainer.algorithms.davidson import (
    FIRST,
    SECOND,
    TIE,
    acceptability_loss,
    davidson_logits,
    davidson_loss,
)


def test_outcome_probabilities_by_hand():
    first, tie, second = davidson_logits(torch.tensor([2.0]), torch.tensor(0.0))[0].softmax(0)
    total = math.e + 1 + 1 / math.e
    torch.testing.assert_close(first.item(), math.e / total, rtol=1e-6, atol=0)
    torch.testing.assert_close(tie.item(), 1 / total, rtol=1e-6, atol=0)
    torch.testing.assert_close(second.item(), 1 / math.e / total, rtol=1e-6, atol=0)


def test_without_ties_it_is_bradley_terry():
    delta_N = torch.tensor([-1.0, 0.0, 3.0])
    loss_N = davidson_loss(delta_N, torch.tensor(-100.0), torch.full((3,), FIRST))
    torch.testing.assert_close(loss_N, -torch.nn.functional.logsigmoid(delta_N))


def test_swapping_the_answers_swaps_the_outcomes():
    delta_N = torch.tensor([0.7])
    log_nu = torch.tensor(-0.3)
    for outcome, swapped in ((FIRST, SECOND), (TIE, TIE)):
        torch.testing.assert_close(
            davidson_loss(delta_N, log_nu, torch.tensor([outcome])),
            davidson_loss(-delta_N, log_nu, torch.tensor([swapped])),
        )


def test_the_gradient_is_expected_minus_observed():
    delta_N = torch.tensor([0.4], requires_grad=True)
    log_nu = torch.tensor(0.1, requires_grad=True)
    davidson_loss(delta_N, log_nu, torch.tensor([FIRST])).sum().backward()
    first, tie, second = davidson_logits(delta_N, log_nu).detach()[0].softmax(0)
    torch.testing.assert_close(delta_N.grad, (first - second - 1)[None] / 2)
    torch.testing.assert_close(log_nu.grad, tie)


def test_a_tie_pulls_rewards_together():
    delta_N = torch.tensor([1.5], requires_grad=True)
    davidson_loss(delta_N, torch.tensor(0.0), torch.tensor([TIE])).sum().backward()
    assert delta_N.grad.item() > 0


def test_acceptability_counts_known_answers_only():
    logits_M = torch.tensor([0.0, 5.0, 1.0], requires_grad=True)
    loss = acceptability_loss(
        logits_M, torch.tensor([True, False, False]), torch.tensor([True, False, True])
    )
    expected = math.log(2) + math.log(1 + math.e)
    torch.testing.assert_close(loss.item(), expected, rtol=1e-6, atol=0)
    loss.backward()
    assert logits_M.grad[1] == 0
