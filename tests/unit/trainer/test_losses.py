"""Losses by hand-computed numbers, and their gradients against exact ones on a small softmax."""

import pytest
import torch

from services.trainer.algorithms.aggregate import UpdateSize, aggregate
from services.trainer.algorithms.importance import truncated_weights
from services.trainer.algorithms.kl import k1, k2, k3, loss_term
from services.trainer.algorithms.rloo import rloo_advantages
from services.trainer.algorithms.surrogate import clipped_surrogate, policy_gradient


def column(*values):
    return torch.tensor([values], dtype=torch.float64)


def softmax_toy():
    """Logits θ of a policy and log-probabilities of a reference, over 12 outcomes."""
    generator = torch.Generator().manual_seed(7)
    theta = torch.randn(12, generator=generator, dtype=torch.float64).requires_grad_()
    reference = torch.randn(12, generator=generator, dtype=torch.float64).log_softmax(0)
    return theta, reference


def expected_gradient(theta, per_outcome):
    """∇ of Σ_x sg(π(x)) f(x): the gradient that sampling on-policy has on average."""
    logprobs = theta.log_softmax(0)
    (gradient,) = torch.autograd.grad(
        (logprobs.exp().detach() * per_outcome(logprobs)).sum(), theta
    )
    return gradient


def reverse_kl_gradient(theta, reference):
    logprobs = theta.log_softmax(0)
    (gradient,) = torch.autograd.grad((logprobs.exp() * (logprobs - reference)).sum(), theta)
    return gradient


def test_the_clipped_surrogate_by_hand():
    logprobs = column(1.5, 1.5, 0.5, 0.5).log()
    loss, is_clipped = clipped_surrogate(
        logprobs, torch.zeros_like(logprobs), column(1, -1, 1, -1), clip_low=0.2, clip_high=0.28
    )
    torch.testing.assert_close(loss, column(-1.28, 1.5, -0.5, 0.8))
    assert is_clipped.tolist() == [[True, False, False, True]]


def test_on_policy_the_ratio_is_one_but_its_gradient_is_not_zero():
    theta, _ = softmax_toy()
    reward = torch.arange(12, dtype=torch.float64)
    exact = torch.autograd.grad((theta.softmax(0) * reward).sum(), theta)[0]

    def loss(logprobs):
        clipped, _ = clipped_surrogate(logprobs, logprobs.detach(), reward, 0.2, 0.2)
        torch.testing.assert_close(clipped.detach(), -reward)
        return clipped

    torch.testing.assert_close(expected_gradient(theta, loss), -exact)


def test_policy_gradient_with_old_weights_is_importance_weighted():
    theta, reference = softmax_toy()
    reward = torch.linspace(-1, 1, 12, dtype=torch.float64)
    loss = (reference.exp() * policy_gradient(theta.log_softmax(0), reference, reward)).sum()
    exact = torch.autograd.grad((theta.softmax(0) * reward).sum(), theta)[0]
    torch.testing.assert_close(torch.autograd.grad(loss, theta)[0], -exact)


def test_rloo_is_unbiased_over_all_pairs_of_outcomes():
    theta, _ = softmax_toy()
    reward = torch.linspace(-1, 3, 12, dtype=torch.float64)
    logprobs = theta.log_softmax(0)
    first, second = torch.cartesian_prod(torch.arange(12), torch.arange(12)).T
    pairs = torch.stack([first, second], dim=1)
    advantages = rloo_advantages(reward[pairs], torch.ones(144, 2, dtype=torch.bool))
    losses = policy_gradient(logprobs[pairs], logprobs[pairs].detach(), advantages)
    probability = logprobs[pairs].sum(1).exp().detach()
    gradient = torch.autograd.grad((probability * losses.mean(1)).sum(), theta)[0]
    exact = torch.autograd.grad((theta.softmax(0) * reward).sum(), theta)[0]
    torch.testing.assert_close(gradient, -exact)


def test_kl_estimators_agree_in_expectation():
    theta, reference = softmax_toy()
    logprobs = theta.detach().log_softmax(0)
    exact = (logprobs.exp() * (logprobs - reference)).sum()
    for estimator in (k1, k3):
        torch.testing.assert_close((logprobs.exp() * estimator(logprobs, reference)).sum(), exact)
    assert (k2(logprobs, reference) >= 0).all()
    assert (k3(logprobs, reference) >= 0).all()


@pytest.mark.parametrize("placement", ["loss_k2", "loss_rho_k3"])
def test_kl_in_the_loss_has_the_gradient_of_the_reverse_kl(placement):
    theta, reference = softmax_toy()
    gradient = expected_gradient(
        theta, lambda logprobs: loss_term(placement, logprobs, logprobs.detach(), reference)
    )
    torch.testing.assert_close(gradient, reverse_kl_gradient(theta, reference))


def test_k1_in_the_reward_has_the_gradient_of_the_reverse_kl():
    theta, reference = softmax_toy()

    def loss(logprobs):
        penalised = -k1(logprobs.detach(), reference)
        return policy_gradient(logprobs, logprobs.detach(), penalised)

    torch.testing.assert_close(
        expected_gradient(theta, loss), reverse_kl_gradient(theta, reference)
    )


def test_k1_in_the_loss_would_penalise_nothing():
    theta, reference = softmax_toy()
    gradient = expected_gradient(theta, lambda logprobs: k1(logprobs, reference))
    torch.testing.assert_close(gradient, torch.zeros_like(gradient))


def test_kl_outside_the_loss_adds_nothing_to_it():
    logprobs = column(-1.0, -2.0)
    for placement in ("none", "reward_k1"):
        assert torch.equal(loss_term(placement, logprobs, logprobs, logprobs - 1), column(0, 0))


def test_importance_weights_are_truncated_and_carry_no_gradient():
    old = column(0.0, 0.0).requires_grad_()
    weights, is_truncated = truncated_weights(old, column(0.5, 0.2).log(), cap=2.0)
    torch.testing.assert_close(weights, column(2.0, 2.0))
    assert is_truncated.tolist() == [[False, True]]
    assert not weights.requires_grad


def test_aggregations_by_hand():
    values_BT = column(1, 2, 3).repeat(2, 1)
    mask_BT = torch.tensor([[True, True, True], [True, False, False]])
    size = UpdateSize.of(mask_BT)
    assert size == UpdateSize(num_tokens=4, num_sequences=2)
    assert aggregate("token_mean", values_BT, mask_BT, size).item() == 7 / 4
    assert aggregate("sequence_mean", values_BT, mask_BT, size).item() == (2 + 1) / 2
    assert aggregate("sequence_sum", values_BT, mask_BT, size).item() == (6 + 1) / 2


@pytest.mark.parametrize("how", ["token_mean", "sequence_mean", "sequence_sum"])
def test_how_a_batch_is_cut_does_not_change_its_loss(how):
    generator = torch.Generator().manual_seed(0)
    values_BT = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    mask_BT = torch.arange(5) < torch.tensor([5, 1, 3, 2, 4, 0])[:, None]
    size = UpdateSize.of(mask_BT)
    shares = [aggregate(how, values_BT[cut], mask_BT[cut], size) for cut in ([0, 1], [2, 3, 4, 5])]
    torch.testing.assert_close(sum(shares), aggregate(how, values_BT, mask_BT, size))
    assert UpdateSize.of(mask_BT[:2]) + UpdateSize.of(mask_BT[2:]) == size


def test_what_is_masked_has_no_gradient():
    values_BT = column(1, 2).requires_grad_()
    mask_BT = torch.tensor([[True, False]])
    aggregate("token_mean", values_BT, mask_BT, UpdateSize.of(mask_BT)).backward()
    assert values_BT.grad.tolist() == [[1.0, 0.0]]
