"""A policy in training: its model, its optimiser, and how it learns from a segment of the log.

Opened by the policy and sft stages, after a crash and by replay alike; it calls no service.
"""

import copy
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from models import checkpoint
from models.checkpoint import Checkpoint, load_tensors
from models.omni import OmniModel
from services.trainer.checkpoint import (
    TrainingState,
    load_newest_state,
    prefixed,
    save_state,
    under,
    weights_sha256,
)
from services.trainer.consumption import Consumed, best_answers, scored_groups, target_groups
from services.trainer.learning.divergence import sampled_kl
from services.trainer.learning.groups import PromptGroup
from services.trainer.learning.learner import Learner
from services.trainer.learning.objective import Imitation, Objective
from services.trainer.learning.optimizer import Optimizer, freeze
from services.trainer.learning.plan import UpdatePlan, make_plan
from services.trainer.learning.policy_objective import PolicyObjective
from services.trainer.recipe import PolicyRecipe, SftRecipe
from services.trainer.replay_log import Segment

PolicyLikeRecipe = PolicyRecipe | SftRecipe


class PolicyTraining:
    """State after `step` steps; `learn` takes it one further."""

    def __init__(self, recipe: PolicyLikeRecipe, initial: Checkpoint) -> None:
        self.recipe = recipe
        self.preprocessor = initial.preprocessor
        self.grammar = initial.grammar
        self.model = initial.model
        self.step = 0
        self.reference = self._reference(initial)
        freeze(*self.model.image_tokenizers)
        if recipe.optimizer.freeze_encoders:
            freeze(*self.model.encoders)
        parameters = dict(self.model.named_parameters())
        optimizer = Optimizer(parameters, recipe.optimizer, recipe.steps)
        self._learner = Learner(self.model, optimizer, self._objective())

    def consume(self, segment: Segment) -> Consumed:
        """What of a segment is learned from."""
        groups, media = segment.groups, segment.media
        if isinstance(self.recipe, SftRecipe) and self.recipe.targets == "dataset":
            return target_groups(groups, media, self.preprocessor)
        consumed = scored_groups(groups, segment.scores, media, self.preprocessor)
        return best_answers(consumed) if isinstance(self.recipe, SftRecipe) else consumed

    def planned(self, segment: Segment) -> Segment:
        """The segment with its batch order, which is logged before it is followed."""
        groups, header = self.consume(segment).groups, segment.header
        plan = self._plan(groups, header.random_seed)
        return replace(segment, header=header.model_copy(update={"plan": plan}))

    def _plan(self, groups: Sequence[PromptGroup], random_seed: str) -> UpdatePlan:
        recipe, num_minibatches = self.recipe, 1
        if isinstance(recipe, PolicyRecipe):
            num_minibatches = recipe.algorithm.minibatches
            num_epochs = recipe.algorithm.epochs_per_step
        else:
            num_epochs = recipe.epochs_per_step
        return make_plan(
            groups,
            [self._learner.objective.has_gradient(group) for group in groups],
            random_seed,
            num_minibatches,
            num_epochs,
            recipe.optimizer.tokens_per_microbatch,
        )

    def learn(self, segment: Segment) -> dict[str, float]:
        """Takes the step of a segment and returns its metrics."""
        consumed, header = self.consume(segment), segment.header
        assert header.step == self.step + 1, f"step {header.step} after {self.step}"
        metrics = self._learner.learn(consumed.groups, header.plan, header.step)
        self.step = header.step
        skipped = float(header.plan.num_updates == 0)
        return {**metrics, **_consumption_metrics(segment, consumed), "skipped": skipped}

    def measure(self, segment: Segment) -> dict[str, float]:
        """Figures that no update depends on: the KL, every so many steps."""
        recipe, step = self.recipe, segment.header.step
        if self.reference is None or not isinstance(recipe, PolicyRecipe):
            return {}
        every, groups = recipe.algorithm.kl.measure_every, self.consume(segment).groups
        if recipe.algorithm.kl.placement != "none" or (step - 1) % every or not groups:
            return {}
        temperature = recipe.rollout.sampling.temperature
        return {"kl": sampled_kl(self.reference, self.grammar, groups, temperature)}

    def save(self, folder: Path) -> None:
        """Writes a checkpoint."""
        tensors = {
            **prefixed("model", self.model.state_dict()),
            **prefixed("optimizer", self._learner.optimizer.tensors()),
        }
        save_state(folder, TrainingState(self.step, tensors, {}))

    def restore(self, folder: Path) -> None:
        """Goes on from the newest checkpoint, if there is one."""
        state = load_newest_state(folder)
        if state is None:
            return
        load_tensors(self.model, under("model", state.tensors))
        self._learner.optimizer.load_tensors(under("optimizer", state.tensors))
        self.step = state.step

    def digest(self) -> str:
        """Of the weights, bit for bit."""
        return weights_sha256(self.model)

    def _objective(self) -> Objective[Any]:
        recipe = self.recipe
        temperature = recipe.rollout.sampling.temperature
        if isinstance(recipe, SftRecipe):
            is_sampled = recipe.targets == "best_of_n"
            return Imitation(self.grammar, temperature if is_sampled else 1.0)
        return PolicyObjective(recipe.algorithm, self.grammar, temperature, self.reference)

    def _reference(self, initial: Checkpoint) -> OmniModel | None:
        """The initial policy as it was, where KL is penalised or measured."""
        if not isinstance(self.recipe, PolicyRecipe):
            return None
        kl = self.recipe.algorithm.kl
        if kl.placement == "none" and kl.measure_every == 0:
            return None
        reference = copy.deepcopy(initial.model)
        freeze(reference)
        return reference


def open_training(recipe: PolicyLikeRecipe, initial: Path) -> PolicyTraining:
    """Fresh from the initial policy's folder."""
    return PolicyTraining(recipe, checkpoint.load(initial))


def _consumption_metrics(segment: Segment, consumed: Consumed) -> dict[str, float]:
    """Samples learned from, and what was dropped by reason."""
    answers = [answer for group in consumed.groups for answer in group.answers]
    num_asked = sum(len(group.samples) for group in segment.groups)
    metrics = {"samples": float(num_asked), "dropped": float(consumed.dropped.total())}
    for reason, count in sorted(consumed.dropped.items()):
        metrics[f"dropped/{reason}"] = float(count)
    if answers:
        metrics["answer_tokens"] = statistics.fmean(len(a.token_ids_T) for a in answers)
    return metrics | _reward_metrics(segment)


def _reward_metrics(segment: Segment) -> dict[str, float]:
    """Mean and std over all scored samples, and the mean of each task."""
    by_task: defaultdict[str, list[float]] = defaultdict(list)
    for task, group in zip(segment.header.tasks, segment.groups, strict=True):
        scores = (segment.scores.get(sample.sample_id) for sample in group.samples)
        by_task[task] += [s.reward for s in scores if s is not None and s.HasField("reward")]
    every = [reward for rewards in by_task.values() for reward in rewards]
    if not every:
        return {}
    means = {f"reward_mean/{t}": statistics.fmean(r) for t, r in by_task.items() if r}
    return {
        "reward_mean": statistics.fmean(every),
        "reward_std": statistics.pstdev(every),
        **means,
    }
