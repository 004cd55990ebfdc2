"""The update of one step: prepare, then for each minibatch loss, gradient, optimiser.

The same code learns live, after a resume and in a replay; it sees only groups and a plan.
"""

from collections.abc import Sequence
from typing import Any

import torch

from models.omni import OmniModel
from services.trainer.learning.groups import PromptGroup
from services.trainer.learning.objective import Objective, Pack
from services.trainer.learning.optimizer import Optimizer
from services.trainer.learning.plan import UpdatePlan
from services.trainer.learning.statistics import StepStatistics


class Learner:
    """Owns nothing but the order of things; the model is updated in place."""

    def __init__(self, model: OmniModel, optimizer: Optimizer, objective: Objective[Any]) -> None:
        self.model = model
        self.optimizer = optimizer
        self.objective = objective

    def learn(self, groups: Sequence[PromptGroup], plan: UpdatePlan, step: int) -> dict[str, float]:
        """Applies a step's updates and returns its metrics; none where nothing has a gradient."""
        statistics = StepStatistics()
        minibatches = self.objective.prepare(self.model, groups, plan, statistics)
        grad_norms = [
            self._update(packs, step, statistics)
            for epoch in plan.epochs
            for packs in (minibatches[index] for index in epoch)
            if packs
        ]
        metrics = {"learning_rate": self.optimizer.learning_rate(step)}
        if grad_norms:
            metrics["grad_norm"] = sum(grad_norms) / len(grad_norms)
        for name in ("loss", "entropy", "kl", "clip_fraction", "importance_truncated_fraction"):
            metrics |= statistics.mean(name)
        return metrics | statistics.spread("logprob_mismatch")

    def _update(self, packs: Sequence[Pack], step: int, statistics: StepStatistics) -> float:
        for pack in packs:
            loss = self.objective.loss(self.model, pack, statistics)
            torch.autograd.backward(loss)
        return self.optimizer.step(step)
