"""The loss of GRPO, RLOO and PPO, with what they share: π_old, truncation, KL by place.

Legend: P groups, G answers, B = P·G, T answer length.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.grammar import Grammar
from models.likelihood import Likelihood
from models.omni import OmniModel
from services.trainer.algorithms.aggregate import aggregate
from services.trainer.algorithms.importance import truncated_weights
from services.trainer.algorithms.kl import k3, loss_term
from services.trainer.algorithms.ppo import clipped_value_loss
from services.trainer.algorithms.surrogate import clipped_surrogate, policy_gradient
from services.trainer.learning.advantages import Credit, Measured, credit, rewards_of
from services.trainer.learning.groups import PromptGroup
from services.trainer.learning.likelihood import group_likelihood
from services.trainer.learning.objective import Pack, pack_minibatches
from services.trainer.learning.plan import UpdatePlan
from services.trainer.learning.statistics import StepStatistics
from services.trainer.recipe_sections import AlgorithmSection, PpoSection, RlooSection


@dataclass(frozen=True, slots=True, eq=False)
class PolicyPack(Pack):
    """A micro-batch with its credit. `old_logprobs_BT` None: those of the weights as they are."""

    credit: Credit
    old_logprobs_BT: Tensor | None
    reference_BT: Tensor | None
    old_values_BT: Tensor | None


class PolicyObjective:
    """See Objective. `reference` is the initial policy, for KL in the reward or the loss."""

    def __init__(
        self,
        section: AlgorithmSection,
        grammar: Grammar,
        temperature: float,
        reference: OmniModel | None,
    ) -> None:
        self._section = section
        self._grammar = grammar
        self._temperature = temperature
        self._is_penalised = section.kl.placement != "none"
        self._reference = reference if self._is_penalised else None

    def has_gradient(self, group: PromptGroup) -> bool:
        """False for equal rewards under a group baseline without KL."""
        if isinstance(self._section, PpoSection) or self._is_penalised:
            return True
        return len({answer.reward for answer in group.answers}) > 1

    @torch.no_grad()
    def prepare(
        self,
        model: OmniModel,
        groups: Sequence[PromptGroup],
        plan: UpdatePlan,
        statistics: StepStatistics,
    ) -> list[list[PolicyPack]]:
        """Advantages of all groups, after a pass of π_old and π_ref where something reads them."""
        minibatches = pack_minibatches(groups, plan, self._grammar)
        packs = [pack for minibatch in minibatches for pack in minibatch]
        members = [micro for minibatch in plan.minibatches for micro in minibatch.microbatches]
        is_on_policy = plan.num_updates == 1 and self._section.old_logprobs == "learner"
        measured = [
            self._measure(model, pack, [groups[i] for i in micro], is_on_policy, statistics)
            for pack, micro in zip(packs, members, strict=True)
        ]
        credits = credit(self._section, measured)
        ready = iter(
            PolicyPack(
                packed=pack.packed,
                size=pack.size,
                credit=its_credit,
                old_logprobs_BT=None if is_on_policy else one.logprobs_BT,
                reference_BT=one.reference_BT,
                old_values_BT=one.values_BT,
            )
            for pack, its_credit, one in zip(packs, credits, measured, strict=True)
        )
        return [[next(ready) for _ in minibatch] for minibatch in minibatches]

    def loss(self, model: OmniModel, pack: PolicyPack, statistics: StepStatistics) -> Tensor:
        """See Objective."""
        likelihood = self._likelihood(model, pack)
        mask_BT, logprobs_BT = likelihood.mask_BT, likelihood.logprobs_BT
        old_BT = pack.old_logprobs_BT
        if old_BT is None:  # exactly on-policy: ratio 1, with the gradient of log π
            old_BT = logprobs_BT.detach()
            _add_mismatch(statistics, old_BT, pack)
        loss_BT = self._policy_loss_BT(logprobs_BT, old_BT, pack, statistics)
        if pack.reference_BT is not None:
            kl = self._section.kl
            term_BT = loss_term(kl.placement, logprobs_BT, old_BT, pack.reference_BT)
            loss_BT = loss_BT + kl.coefficient * term_BT
        if isinstance(self._section, PpoSection):
            loss_BT = loss_BT + self._value_loss_BT(self._section, model, likelihood, pack)
        statistics.add("entropy", likelihood.entropy_BT, mask_BT)
        statistics.add("loss", loss_BT, mask_BT)
        return aggregate(self._section.aggregation, loss_BT, mask_BT, pack.size)

    def _policy_loss_BT(
        self, logprobs_BT: Tensor, old_BT: Tensor, pack: PolicyPack, statistics: StepStatistics
    ) -> Tensor:
        section, advantages_BT = self._section, pack.credit.advantages_BT
        if isinstance(section, RlooSection):
            loss_BT = policy_gradient(logprobs_BT, old_BT, advantages_BT)
        else:
            loss_BT, is_clipped_BT = clipped_surrogate(
                logprobs_BT, old_BT, advantages_BT, section.clip_low, section.clip_high
            )
            statistics.add("clip_fraction", is_clipped_BT, pack.packed.mask_BT)
        if section.importance_cap is None:
            return loss_BT
        weights_BT, is_truncated_BT = truncated_weights(
            old_BT, pack.packed.sampler_logprobs_BT, section.importance_cap
        )
        statistics.add("importance_truncated_fraction", is_truncated_BT, pack.packed.mask_BT)
        return weights_BT * loss_BT

    def _value_loss_BT(
        self, section: PpoSection, model: OmniModel, likelihood: Likelihood, pack: PolicyPack
    ) -> Tensor:
        assert pack.old_values_BT is not None, "PPO measures values before it learns"
        assert pack.credit.returns_BT is not None, "PPO's credit has returns"
        values_BT = model.value(likelihood.hidden_BTD)
        return section.value_coefficient * clipped_value_loss(
            values_BT, pack.old_values_BT, pack.credit.returns_BT, section.value_clip
        )

    def _measure(
        self,
        model: OmniModel,
        pack: Pack,
        groups: Sequence[PromptGroup],
        is_on_policy: bool,
        statistics: StepStatistics,
    ) -> Measured:
        """Makes no forward pass that nothing reads: on-policy GRPO and RLOO need none."""
        rewards_PG, valid_PG = rewards_of(groups)
        by_sampler = self._section.old_logprobs == "sampler"
        logprobs_BT = pack.packed.sampler_logprobs_BT if by_sampler else None
        values_BT = reference_BT = None
        is_read = not (is_on_policy or by_sampler)
        if is_read or self._is_penalised or isinstance(self._section, PpoSection):
            likelihood = self._likelihood(model, pack)
            values_BT = model.value(likelihood.hidden_BTD)
            logprobs_BT = logprobs_BT if by_sampler else likelihood.logprobs_BT
            if not is_on_policy:
                _add_mismatch(statistics, likelihood.logprobs_BT, pack)
        if self._reference is not None:
            reference_BT = self._likelihood(self._reference, pack).logprobs_BT
            assert logprobs_BT is not None, "a penalised policy is measured"
            statistics.add("kl", k3(logprobs_BT, reference_BT), pack.packed.mask_BT)
        return Measured(
            rewards_PG, valid_PG, pack.packed.mask_BT, logprobs_BT, reference_BT, values_BT
        )

    def _likelihood(self, model: OmniModel, pack: Pack) -> Likelihood:
        return group_likelihood(model, self._grammar, pack.packed, self._temperature)


def _add_mismatch(statistics: StepStatistics, logprobs_BT: Tensor, pack: Pack) -> None:
    difference_BT = (logprobs_BT - pack.packed.sampler_logprobs_BT).abs()
    statistics.add("logprob_mismatch", difference_BT, pack.packed.mask_BT)
