"""Advantages per token of a whole step, out of rewards and what was measured of π_old.

Legend: P groups, G answers, B = P·G, T answer length.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from services.trainer.algorithms.grpo import grpo_advantages
from services.trainer.algorithms.kl import k1
from services.trainer.algorithms.ppo import generalized_advantages, terminal_rewards, whiten
from services.trainer.algorithms.rloo import rloo_advantages
from services.trainer.learning.groups import PromptGroup
from services.trainer.recipe_sections import (
    AlgorithmSection,
    GrpoSection,
    KlSection,
    PpoSection,
    RlooSection,
)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One micro-batch under π_old, before the first update; None where nothing reads it."""

    rewards_PG: Tensor
    valid_PG: Tensor
    mask_BT: Tensor
    logprobs_BT: Tensor | None = None
    reference_BT: Tensor | None = None
    values_BT: Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Credit:
    """What each token is credited with; returns are the value head's targets."""

    advantages_BT: Tensor
    returns_BT: Tensor | None = None


def credit(section: AlgorithmSection, measured: Sequence[Measured]) -> list[Credit]:
    """One for each micro-batch."""
    if isinstance(section, PpoSection):
        return _token_credit(section, measured)
    return [_group_credit(section, one) for one in measured]


def rewards_of(groups: Sequence[PromptGroup]) -> tuple[Tensor, Tensor]:
    """(rewards_PG, valid_PG); places that a dropped answer left are not valid."""
    num_answers = max(len(group.answers) for group in groups)
    rewards_PG = torch.zeros(len(groups), num_answers)
    valid_PG = torch.zeros(len(groups), num_answers, dtype=torch.bool)
    for p, group in enumerate(groups):
        rewards_PG[p, : len(group.answers)] = torch.tensor([a.reward for a in group.answers])
        valid_PG[p, : len(group.answers)] = True
    return rewards_PG, valid_PG


def _group_credit(section: GrpoSection | RlooSection, measured: Measured) -> Credit:
    """The group's advantage at every token; a KL in the reward is summed over the answer."""
    penalty_BT = _penalty_BT(section.kl, measured)
    rewards_PG = measured.rewards_PG - penalty_BT.sum(dim=1).view_as(measured.rewards_PG)
    if isinstance(section, RlooSection):
        advantages_PG = rloo_advantages(rewards_PG, measured.valid_PG)
    else:
        advantages_PG = grpo_advantages(rewards_PG, measured.valid_PG, section.divide_by_std)
    return Credit(advantages_PG.view(-1, 1).expand(measured.mask_BT.shape))


def _token_credit(section: PpoSection, measured: Sequence[Measured]) -> list[Credit]:
    """GAE per token, whitened over the whole step."""
    credits = []
    for one in measured:
        assert one.values_BT is not None, "PPO measures values before it learns"
        rewards_BT = terminal_rewards(one.rewards_PG.flatten(), one.mask_BT)
        rewards_BT = rewards_BT - _penalty_BT(section.kl, one)
        advantages_BT, returns_BT = generalized_advantages(
            rewards_BT, one.values_BT, one.mask_BT, section.gamma, section.lam
        )
        credits.append(Credit(advantages_BT, returns_BT))
    return _whitened(credits, measured) if section.whiten and credits else credits


def _whitened(credits: Sequence[Credit], measured: Sequence[Measured]) -> list[Credit]:
    sizes = [one.mask_BT.numel() for one in measured]
    joined = torch.cat([c.advantages_BT.flatten() for c in credits])
    mask = torch.cat([one.mask_BT.flatten() for one in measured])
    pieces = torch.split(whiten(joined, mask), sizes)
    return [
        Credit(piece.view_as(c.advantages_BT), c.returns_BT)
        for piece, c in zip(pieces, credits, strict=True)
    ]


def _penalty_BT(kl: KlSection, measured: Measured) -> Tensor:
    """β·k1 per token, where KL acts in the reward."""
    if kl.placement != "reward_k1":
        return torch.zeros(measured.mask_BT.shape)
    assert measured.logprobs_BT is not None, "a penalised policy is measured"
    assert measured.reference_BT is not None, "a penalised policy has a reference"
    penalty_BT = kl.coefficient * k1(measured.logprobs_BT, measured.reference_BT)
    return torch.where(measured.mask_BT, penalty_BT, 0.0)
