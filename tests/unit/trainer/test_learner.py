"""A step's update: the same however it is cut, equal to the paper's formula, and it learns."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from services.trainer.algorithms.grpo import grpo_advantages
from services.trainer.learning.learner import Learner
from services.trainer.learning.likelihood import group_likelihood
from services.trainer.learning.objective import Imitation
from services.trainer.learning.optimizer import Optimizer, freeze
from services.trainer.learning.packing import pack
from services.trainer.learning.plan import make_plan
from services.trainer.learning.policy_objective import PolicyObjective
from services.trainer.recipe_sections import AlgorithmSection, OptimizerSection

GRPO = {"name": "grpo"}
RLOO = {"name": "rloo"}
PPO = {"name": "ppo"}


class Gradients:
    """Stands where the optimiser stands and keeps what it is given."""

    def __init__(self, model):
        self._model = model
        self.seen = []

    def learning_rate(self, step):
        return 0.0

    def step(self, step):
        named = self._model.named_parameters()
        self.seen.append({n: p.grad.clone() for n, p in named if p.grad is not None})
        self._model.zero_grad()
        return 0.0


def objective_of(checkpoint, algorithm, reference=None):
    section = TypeAdapter(AlgorithmSection).validate_python(algorithm)
    return PolicyObjective(section, checkpoint.grammar, 1.0, reference)


def plan_of(objective, groups, **settings):
    return make_plan(groups, [objective.has_gradient(g) for g in groups], "seed-1", **settings)


def sampled(checkpoint, groups):
    """The groups with the log-probabilities that a perfect sampler would have reported."""
    return [replace(g, answers=tuple(sampled_answers(checkpoint, g))) for g in groups]


@torch.no_grad()
def sampled_answers(checkpoint, group):
    packed = pack([group], checkpoint.grammar)
    likelihood = group_likelihood(checkpoint.model, checkpoint.grammar, packed, 1.0)
    for answer, row_T in zip(group.answers, likelihood.logprobs_BT, strict=True):
        yield replace(answer, sampler_logprobs_T=row_T[: len(answer.token_ids_T)].numpy())


def gradients(checkpoint, objective, groups, plan):
    watcher = Gradients(checkpoint.model)
    metrics = Learner(checkpoint.model, watcher, objective).learn(groups, plan, step=1)
    return watcher.seen, metrics


def test_an_on_policy_step_has_the_gradient_of_the_formula(checkpoint, groups):
    groups = sampled(checkpoint, groups)
    objective = objective_of(checkpoint, GRPO)
    (found,), metrics = gradients(checkpoint, objective, groups, plan_of(objective, groups))
    assert metrics["logprob_mismatch_max"] < 1e-5
    num_tokens = 4 + 1 + 7 + 2 + 5 + 64 + 64
    for group in groups:
        rewards = torch.tensor([[answer.reward for answer in group.answers]])
        advantages = grpo_advantages(rewards, torch.ones_like(rewards, dtype=torch.bool))
        packed = pack([group], checkpoint.grammar)
        likelihood = group_likelihood(checkpoint.model, checkpoint.grammar, packed, 1.0)
        (-(advantages.T * likelihood.logprobs_BT).sum() / num_tokens).backward()
    for name, parameter in checkpoint.model.named_parameters():
        if name in found:
            torch.testing.assert_close(found[name], parameter.grad, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("algorithm", [GRPO, RLOO, PPO])
def test_how_a_step_is_cut_into_microbatches_does_not_matter(checkpoint, groups, algorithm):
    groups = sampled(checkpoint, groups)
    objective = objective_of(checkpoint, algorithm)
    whole = plan_of(objective, groups, tokens_per_microbatch=10_000)
    cut = plan_of(objective, groups, tokens_per_microbatch=1)
    assert len(whole.minibatches[0].microbatches) == 1
    assert len(cut.minibatches[0].microbatches) == 3
    (first,), _ = gradients(checkpoint, objective, groups, whole)
    (second,), _ = gradients(checkpoint, objective, groups, cut)
    for name, gradient in first.items():
        torch.testing.assert_close(gradient, second[name], atol=1e-5, rtol=1e-3)


def test_a_group_without_variance_is_not_computed_but_counts(checkpoint, groups):
    groups = sampled(checkpoint, groups)
    same = tuple(replace(answer, reward=1.0) for answer in groups[2].answers)
    groups[2] = replace(groups[2], answers=same)
    objective = objective_of(checkpoint, GRPO)
    skipping = plan_of(objective, groups)
    computing = make_plan(groups, [True] * 3, "seed-1")
    assert skipping.minibatches[0].members == (0, 1, 2)
    assert 2 not in sum(skipping.minibatches[0].microbatches, ())
    (first,), _ = gradients(checkpoint, objective, groups, skipping)
    (second,), _ = gradients(checkpoint, objective, groups, computing)
    for name, gradient in first.items():
        torch.testing.assert_close(gradient, second[name], atol=1e-6, rtol=1e-3)


def test_a_step_in_which_nothing_has_a_gradient_changes_nothing(checkpoint, groups):
    same = [replace(g, answers=tuple(replace(a, reward=0.5) for a in g.answers)) for g in groups]
    objective = objective_of(checkpoint, GRPO)
    seen, metrics = gradients(checkpoint, objective, same, plan_of(objective, same))
    assert seen == []
    assert "grad_norm" not in metrics


def test_several_updates_keep_the_policy_that_sampled_as_old(checkpoint, groups):
    groups = sampled(checkpoint, groups)
    objective = objective_of(checkpoint, {**GRPO, "epochs_per_step": 2, "minibatches": 2})
    plan = plan_of(objective, groups, num_minibatches=2, num_epochs=2)
    assert plan.num_updates == 4
    seen, _ = gradients(checkpoint, objective, groups, plan)
    by_minibatch = dict(zip(plan.epochs[0], seen[:2], strict=True))
    for index, again in zip(plan.epochs[1], seen[2:], strict=True):
        for name, gradient in by_minibatch[index].items():
            torch.testing.assert_close(gradient, again[name], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("placement", ["reward_k1", "loss_k2", "loss_rho_k3"])
def test_kl_is_zero_at_the_reference_and_grows_away_from_it(checkpoint, groups, placement):
    reference = copy.deepcopy(checkpoint.model)
    kl = {"placement": placement, "coefficient": 0.1}
    objective = objective_of(checkpoint, {**GRPO, "kl": kl}, reference)
    groups = sampled(checkpoint, groups)
    plan = plan_of(objective, groups)
    _, metrics = gradients(checkpoint, objective, groups, plan)
    assert metrics["kl"] == 0
    with torch.no_grad():
        checkpoint.model.lm_head.weight.mul_(1.5)
    _, metrics = gradients(checkpoint, objective, sampled(checkpoint, groups), plan)
    assert metrics["kl"] > 0


@pytest.mark.parametrize("algorithm", [GRPO, RLOO, PPO])
def test_learning_makes_rewarded_answers_likelier(checkpoint, groups, algorithm):
    model = checkpoint.model
    freeze(model.vqmodel)
    section = OptimizerSection(learning_rate=3e-3)
    optimizer = Optimizer(dict(model.named_parameters()), section, total_steps=4)
    objective = objective_of(checkpoint, algorithm)
    learner = Learner(model, optimizer, objective)
    before = sampled(checkpoint, groups)
    for step in range(1, 5):
        now = sampled(checkpoint, groups)
        learner.learn(now, plan_of(objective, now), step)
    after = sampled(checkpoint, groups)
    gained = [
        new.sampler_logprobs_T.sum() - old.sampler_logprobs_T.sum()
        for g_old, g_new in zip(before, after, strict=True)
        for old, new in zip(g_old.answers, g_new.answers, strict=True)
        if old.reward == 1
    ]
    assert np.mean(gained) > 0


def test_imitation_raises_likelihood_and_spares_what_is_frozen(checkpoint, groups):
    model = checkpoint.model
    freeze(model.vqmodel)
    freeze(model.vision_model)
    frozen = copy.deepcopy({n: p for n, p in model.named_parameters() if not p.requires_grad})
    section = OptimizerSection(learning_rate=3e-3, warmup_steps=2)
    optimizer = Optimizer(dict(model.named_parameters()), section, total_steps=5)
    objective = Imitation(checkpoint.grammar, temperature=1.0)
    learner = Learner(model, optimizer, objective)
    plan = make_plan(groups, [True] * 3, "seed")
    losses = [learner.learn(groups, plan, step)["loss"] for step in range(1, 6)]
    assert losses[-1] < losses[0]
    for name, parameter in model.named_parameters():
        if name in frozen:
            assert torch.equal(parameter, frozen[name])


def test_an_optimizer_goes_on_from_its_saved_tensors(checkpoint, groups):
    section = OptimizerSection(learning_rate=1e-3)
    objective = Imitation(checkpoint.grammar, temperature=1.0)
    plan = make_plan(groups, [True] * 3, "seed")

    def learner_of(model):
        freeze(model.vqmodel)
        return Learner(model, Optimizer(dict(model.named_parameters()), section, 4), objective)

    first = learner_of(checkpoint.model)
    for step in (1, 2):
        first.learn(groups, plan, step)
    second = learner_of(copy.deepcopy(first.model))
    second.optimizer.load_tensors(first.optimizer.tensors())
    for learner in (first, second):
        learner.learn(groups, plan, 3)
    for one, other in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_learning_rate_follows_from_the_step():
    section = OptimizerSection(learning_rate=1.0, warmup_steps=4, decay="linear")
    optimizer = Optimizer({"w": torch.nn.Parameter(torch.ones(1))}, section, total_steps=10)
    assert [optimizer.learning_rate(step) for step in (1, 4, 6, 10)] == [0.25, 0.7, 0.5, 0.1]
