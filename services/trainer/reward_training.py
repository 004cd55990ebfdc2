"""A reward model in training: held-out pairs, early stopping, checkpoints. It calls no service.

Batches and the held-out share follow from the seed and the step alone, so a resumed run, and a
replay, computes the same weights.
"""

import copy
import hashlib
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch

from models import checkpoint
from models.reward import RewardModel
from models.reward_config import Calibration, RewardConfig
from services.common.errors import FailedPrecondition
from services.trainer.checkpoint import (
    TrainingState,
    load_newest_state,
    prefixed,
    save_state,
    under,
    weights_sha256,
)
from services.trainer.learning.judged_items import JudgedItem, cut_by_tokens, judged_batch
from services.trainer.learning.optimizer import Optimizer, freeze
from services.trainer.learning.pair_model import PairModel
from services.trainer.pair_report import PairReport, measure_pairs
from services.trainer.recipe import RewardRecipe

_MIN_ITEMS = 8


@dataclass(slots=True)
class Best:
    """The best evaluation so far, and how many came since without being better."""

    loss: float = math.inf
    num_worse: int = 0


class RewardTraining:
    """State after `step` steps; `best` weights are what the run is for."""

    def __init__(
        self, recipe: RewardRecipe, initial: checkpoint.Checkpoint, items: Sequence[JudgedItem]
    ) -> None:
        self.recipe = recipe
        self.preprocessor = initial.preprocessor
        self._pad_id = initial.preprocessor.tokenizer.special.pad
        share, seed = recipe.holdout.share, recipe.seed
        self.held_out = [item for item in items if _unit_hash(item.group_key, seed) < share]
        self.train = [item for item in items if _unit_hash(item.group_key, seed) >= share]
        _check_enough(self.train, self.held_out)
        freeze(*initial.model.image_tokenizers)
        if recipe.optimizer.freeze_encoders:
            freeze(*initial.model.encoders)
        config = RewardConfig(**recipe.model.model_dump())
        reward = RewardModel(initial.model, config, seed=recipe.seed)
        self.model = PairModel(reward, recipe.loss, _length_scale(self.train))
        parameters = dict(self.model.named_parameters())
        self._optimizer = Optimizer(parameters, recipe.optimizer, recipe.steps)
        self._best_weights = copy.deepcopy(self.model.state_dict())
        self._best = Best()
        self.step = 0

    @property
    def is_done(self) -> bool:
        """At the last step, or when held-out pairs stopped getting better."""
        is_worse = self._best.num_worse >= self.recipe.holdout.patience
        return self.step >= self.recipe.steps or is_worse

    def take_step(self) -> dict[str, float]:
        """One update; evaluates on held-out pairs every so many."""
        items = self._items_of(self.step + 1)
        num_pairs = sum(len(item.pairs) for item in items)
        num_judged = sum(len(item.answers) for item in items)
        total = 0.0
        for cut in cut_by_tokens(items, self.recipe.optimizer.tokens_per_microbatch):
            loss = self.model.loss(judged_batch(cut, self._pad_id), num_pairs, num_judged)
            torch.autograd.backward(loss)
            total += float(loss.detach())
        self.step += 1
        metrics = {"loss": total, "grad_norm": self._optimizer.step(self.step)}
        metrics["learning_rate"] = self._optimizer.learning_rate(self.step)
        metrics["samples"] = float(num_pairs)
        if self.step % self.recipe.holdout.every == 0 or self.step == self.recipe.steps:
            metrics |= self._evaluate().metrics
        return metrics

    def finish(self) -> PairReport:
        """Puts the best weights in place and measures them on the held-out pairs."""
        if self._best.loss < math.inf:
            self.model.load_state_dict(self._best_weights)
        return self._report()

    def save(self, folder: Path) -> None:
        """Writes a checkpoint."""
        tensors = {
            **prefixed("model", self.model.state_dict()),
            **prefixed("best", self._best_weights),
            **prefixed("optimizer", self._optimizer.tensors()),
        }
        extra = {"num_worse": float(self._best.num_worse)}
        if self._best.loss < math.inf:
            extra["best_loss"] = self._best.loss
        save_state(folder, TrainingState(self.step, tensors, extra))

    def restore(self, folder: Path) -> None:
        """Goes on from the newest checkpoint, if there is one."""
        state = load_newest_state(folder)
        if state is None:
            return
        self.model.load_state_dict(under("model", state.tensors))
        self._best_weights = under("best", state.tensors)
        self._optimizer.load_tensors(under("optimizer", state.tensors))
        best_loss = state.extra.get("best_loss", math.inf)
        self._best = Best(best_loss, int(state.extra["num_worse"]))
        self.step = state.step

    def digest(self) -> str:
        """Of the reward model's weights, bit for bit."""
        return weights_sha256(self.model.reward)

    def calibration(self) -> Calibration:
        """Of the raw reward on held-out answers."""
        rewards = self._report().rewards
        std = statistics.pstdev(rewards)
        return Calibration(mean=statistics.fmean(rewards), std=std if std > 0 else 1.0)

    def _evaluate(self) -> PairReport:
        report = self._report()
        if report.loss < self._best.loss:
            self._best = Best(report.loss)
            self._best_weights = copy.deepcopy(self.model.state_dict())
        else:
            self._best.num_worse += 1
        return report

    def _report(self) -> PairReport:
        max_tokens = self.recipe.optimizer.tokens_per_microbatch
        return measure_pairs(self.model, self.held_out, self._pad_id, max_tokens)

    def _items_of(self, step: int) -> list[JudgedItem]:
        """The step's items: epochs in a new order each, cut without regard to their ends."""
        size, count = len(self.train), self.recipe.items_per_step
        places = [divmod(position, size) for position in range((step - 1) * count, step * count)]
        orders = {epoch: self._order(epoch) for epoch, _ in places}
        return [self.train[orders[epoch][index]] for epoch, index in places]

    def _order(self, epoch: int) -> list[int]:
        order = list(range(len(self.train)))
        Random(f"{self.recipe.seed}-{epoch}").shuffle(order)
        return order


def _unit_hash(group_key: str, seed: int) -> float:
    """Uniform in [0, 1); the same for all items of a key, so that none straddles the split."""
    digest = hashlib.sha256(f"{seed}:{group_key}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def _length_scale(items: Sequence[JudgedItem]) -> float:
    """Standard deviation of the pairs' differences in length, in tokens; at least 1."""
    differences = [
        len(item.sequences[pair.first].token_ids) - len(item.sequences[pair.second].token_ids)
        for item in items
        for pair in item.pairs
    ]
    return max(1.0, statistics.pstdev(differences))


def _check_enough(train: Sequence[JudgedItem], held_out: Sequence[JudgedItem]) -> None:
    if len(train) < _MIN_ITEMS or not held_out:
        raise FailedPrecondition(
            f"the snapshot gives {len(train)} items with pairs to train on and {len(held_out)}"
            f" held out; {_MIN_ITEMS} and 1 are the least. Collect more judgements"
        )
