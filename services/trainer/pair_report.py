"""Held-out pairs: how often the better answer gets the higher reward, with an interval.

Ties are no right or wrong: they are left out of the accuracy, counted, and take part in the loss.
The interval resamples group keys, since judgements of one item are not independent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from services.trainer.algorithms.davidson import FIRST, TIE
from services.trainer.learning.judged_items import JudgedItem, cut_by_tokens, judged_batch
from services.trainer.learning.pair_model import PairModel

_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class PairReport:
    """`loss` is nats per pair, ties included; `rewards` are raw, of every held-out answer."""

    accuracy: float
    accuracy_low: float
    accuracy_high: float
    loss: float
    num_pairs: int
    num_ties: int
    rewards: tuple[float, ...]

    @property
    def metrics(self) -> dict[str, float]:
        """For the run's events and the version's metadata."""
        return {
            "heldout_pair_accuracy": self.accuracy,
            "heldout_pair_accuracy_low": self.accuracy_low,
            "heldout_pair_accuracy_high": self.accuracy_high,
            "heldout_loss": self.loss,
            "heldout_pairs": float(self.num_pairs),
            "heldout_ties": float(self.num_ties),
        }


@torch.no_grad()
def measure_pairs(
    model: PairModel, items: Sequence[JudgedItem], pad_id: int, max_tokens: int
) -> PairReport:
    """Scores every pair of the items."""
    losses: list[float] = []
    rewards: list[float] = []
    right_by_key: dict[str, list[bool]] = {}
    num_ties = 0
    for cut in cut_by_tokens(items, max_tokens):
        scores = model(judged_batch(cut, pad_id))
        losses += scores.loss_M.tolist()
        rewards += scores.rewards_BK.mean(dim=1).tolist()
        keys = [item.group_key for item in cut for _ in item.pairs]
        outcomes = [pair.outcome for item in cut for pair in item.pairs]
        deltas = scores.delta_MK.mean(dim=1).tolist()
        for key, outcome, delta in zip(keys, outcomes, deltas, strict=True):
            if outcome == TIE:
                num_ties += 1
            else:
                right_by_key.setdefault(key, []).append((delta > 0) == (outcome == FIRST))
    accuracy, low, high = _accuracy(list(right_by_key.values()))
    return PairReport(
        accuracy, low, high, float(np.mean(losses)), len(losses), num_ties, tuple(rewards)
    )


def _accuracy(right: Sequence[Sequence[bool]]) -> tuple[float, float, float]:
    """(share right, 2.5th and 97.5th percentile over resampled keys); a coin's without pairs."""
    if not right:
        return 0.5, 0.0, 1.0
    num_right = np.asarray([sum(answers) for answers in right])
    num_all = np.asarray([len(answers) for answers in right])
    drawn = np.random.default_rng(0).integers(0, len(right), (_RESAMPLES, len(right)))
    shares = num_right[drawn].sum(axis=1) / num_all[drawn].sum(axis=1)
    low, high = np.percentile(shares, [2.5, 97.5])
    return float(num_right.sum() / num_all.sum()), float(low), float(high)
