"""A reward model with the nuisances that judgements bring along, and its loss on them.

The likelihood is algorithms/davidson.py. Side bias and length slope are fitted and then dropped:
they explain what judges do, not what is good (reference/reward_feedback_peers.md §4.3).
Legend: B sequences, K heads, M pairs, A judged answers.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.reward import RewardModel
from services.trainer.algorithms.davidson import acceptability_loss, davidson_loss
from services.trainer.learning.judged_items import JudgedBatch
from services.trainer.recipe_sections import PairLossSection

# Adam moves every parameter by about its rate; at a trunk's rate a scalar would never get there.
_NUISANCE_SCALE = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class PairScores:
    """`delta_MK` is each pair's difference of rewards alone; `loss_M` of its whole likelihood."""

    rewards_BK: Tensor
    acceptability_B: Tensor
    delta_MK: Tensor
    loss_M: Tensor


class PairModel(nn.Module):
    """See the module."""

    def __init__(self, reward: RewardModel, section: PairLossSection, length_scale: float) -> None:
        super().__init__()
        self.reward = reward
        self._log_nu = _nuisance(is_fitted=True)
        self._side_bias = _nuisance(section.side_bias)
        self._length_slope = _nuisance(section.length_nuisance)
        self._section = section
        self._length_scale = length_scale

    @property
    def log_nu(self) -> Tensor:
        """Of Davidson's ν, the propensity to tie."""
        return _NUISANCE_SCALE * self._log_nu

    @property
    def side_bias(self) -> Tensor:
        """Added to δ for the answer shown on the left."""
        return _NUISANCE_SCALE * self._side_bias

    @property
    def length_slope(self) -> Tensor:
        """Added to δ per standard deviation of difference in length."""
        return _NUISANCE_SCALE * self._length_slope

    def forward(self, batch: JudgedBatch) -> PairScores:
        features_FD = self.reward.trunk.encode_media(batch.media)
        rewards_BK, acceptability_B = self.reward(batch.token_ids_BL, batch.lengths_B, features_FD)
        delta_MK = rewards_BK[batch.first_M] - rewards_BK[batch.second_M]
        longer_M = batch.lengths_B[batch.first_M] - batch.lengths_B[batch.second_M]
        nuisance_M = (
            self.side_bias * batch.left_M + self.length_slope * longer_M / self._length_scale
        )
        loss_MK = torch.stack(
            [
                davidson_loss(delta_M + nuisance_M, self.log_nu, batch.outcome_M)
                for delta_M in delta_MK.unbind(1)
            ],
            dim=1,
        )
        return PairScores(rewards_BK, acceptability_B, delta_MK, loss_MK.mean(dim=1))

    def loss(self, batch: JudgedBatch, num_pairs: int, num_judged: int) -> Tensor:
        """This micro-batch's share; the numbers are those of the whole update."""
        scores, section = self(batch), self._section
        known_A = torch.ones_like(batch.is_acceptable_A, dtype=torch.bool)
        acceptability = acceptability_loss(
            scores.acceptability_B[batch.judged_A], batch.is_acceptable_A, known_A
        )
        sum_MK = scores.rewards_BK[batch.first_M] + scores.rewards_BK[batch.second_M]
        centering = sum_MK.square().mean(dim=1).sum()
        loss: Tensor = (
            scores.loss_M.sum() + section.centering_coefficient * centering
        ) / num_pairs + section.acceptability_coefficient * acceptability / max(1, num_judged)
        return loss


def _nuisance(is_fitted: bool) -> nn.Parameter:
    return nn.Parameter(torch.tensor(0.0), requires_grad=is_fitted)
