"""What an update minimises: a policy algorithm's loss, or the likelihood of answers to imitate.

`prepare` runs once per step, before any update, on the weights that sampled (π_old); `loss` runs
per micro-batch. Legend: P groups, G answers, B = P·G, T answer length.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from models.grammar import Grammar, Kind
from models.omni import OmniModel
from services.trainer.algorithms.aggregate import UpdateSize, aggregate
from services.trainer.learning.groups import PromptGroup
from services.trainer.learning.likelihood import group_likelihood
from services.trainer.learning.packing import PackedGroups, pack
from services.trainer.learning.plan import Minibatch, UpdatePlan
from services.trainer.learning.statistics import StepStatistics


@dataclass(frozen=True, slots=True, eq=False)
class Pack:
    """One micro-batch; `size` is that of its whole minibatch."""

    packed: PackedGroups
    size: UpdateSize


PackT = TypeVar("PackT", bound=Pack)


class Objective(Protocol[PackT]):
    """See the module."""

    def prepare(
        self,
        model: OmniModel,
        groups: Sequence[PromptGroup],
        plan: UpdatePlan,
        statistics: StepStatistics,
    ) -> list[list[PackT]]:
        """Packs of each minibatch."""
        ...

    def loss(self, model: OmniModel, pack: PackT, statistics: StepStatistics) -> Tensor:
        """This micro-batch's share of its minibatch's loss."""
        ...

    def has_gradient(self, group: PromptGroup) -> bool:
        """False if the group's gradient is exactly zero, so that it need not be computed."""
        ...


class Imitation:
    """Negative log-likelihood per token: supervised training."""

    def __init__(self, grammar: Grammar, temperature: float) -> None:
        self._grammar, self._temperature = grammar, temperature

    def prepare(
        self,
        model: OmniModel,
        groups: Sequence[PromptGroup],
        plan: UpdatePlan,
        statistics: StepStatistics,
    ) -> list[list[Pack]]:
        """See Objective."""
        return pack_minibatches(groups, plan, self._grammar)

    def loss(self, model: OmniModel, pack: Pack, statistics: StepStatistics) -> Tensor:
        """See Objective."""
        likelihood = group_likelihood(model, self._grammar, pack.packed, self._temperature)
        loss_BT, mask_BT = -likelihood.logprobs_BT, likelihood.mask_BT
        statistics.add("loss", loss_BT, mask_BT)
        statistics.add("entropy", likelihood.entropy_BT, mask_BT)
        return aggregate("token_mean", loss_BT, mask_BT, pack.size)

    def has_gradient(self, group: PromptGroup) -> bool:
        """See Objective."""
        return True


def pack_minibatches(
    groups: Sequence[PromptGroup], plan: UpdatePlan, grammar: Grammar
) -> list[list[Pack]]:
    """Tensors of a plan's micro-batches."""

    def packs(minibatch: Minibatch) -> list[Pack]:
        size = _size_of([groups[i] for i in minibatch.members], grammar)
        return [
            Pack(pack([groups[i] for i in microbatch], grammar), size)
            for microbatch in minibatch.microbatches
        ]

    return [packs(minibatch) for minibatch in plan.minibatches]


def _size_of(groups: Sequence[PromptGroup], grammar: Grammar) -> UpdateSize:
    """Counts chosen tokens; those that the grammar forced are in no denominator."""
    answers = [answer for group in groups for answer in group.answers]
    chosen = [grammar.kinds(torch.from_numpy(a.token_ids_T)) != Kind.END_OF_IMAGE for a in answers]
    return UpdateSize(sum(int(c.sum()) for c in chosen), len(answers))
