"""The policy stage: reinforcement learning against the scores of the reward service.

Each step: rollouts at run/ID → scores → (stages/steps.py) replay log → advantages and update →
publish to run/ID.
"""

import hashlib
from collections.abc import Mapping, Sequence

from models.preprocessing.conversation import Medium
from models.preprocessing.images import content_sha256
from protos.v1 import reward_model_pb2
from services.common.dataset import TaskItem, TaskSource
from services.trainer.fingerprint import current_fingerprint
from services.trainer.learning.plan import UpdatePlan
from services.trainer.policy_training import PolicyTraining, open_training
from services.trainer.recipe import PolicyRecipe, SftRecipe
from services.trainer.recipe_sections import RewardChoice
from services.trainer.replay_log import Segment, SegmentHeader
from services.trainer.rollouts import RolloutClient
from services.trainer.run_context import RunContext
from services.trainer.scoring import ScoreClient
from services.trainer.sources import open_source
from services.trainer.stages.heldout import HeldoutScores
from services.trainer.stages.showing import show_samples
from services.trainer.stages.steps import run_steps


def run_policy(run: RunContext, recipe: PolicyRecipe) -> None:
    """Trains and publishes after every step."""
    training = open_training(recipe, run.folder.initial)
    collect = ScoredRollouts(run, recipe, recipe.reward)
    after_step = HeldoutScores(run, recipe)
    run_steps(run, training, collect, publish_steps=True, after_step=after_step)


class ScoredRollouts:
    """Collects what a step of RL, or of best-of-n, learns from."""

    def __init__(
        self, run: RunContext, recipe: PolicyRecipe | SftRecipe, reward: RewardChoice
    ) -> None:
        self._run = run
        self._recipe = recipe
        self._source: TaskSource = open_source(recipe.data, recipe.seed)
        alias, patience = run.record.alias, run.patience
        self._rollouts = RolloutClient(run.channels.policy, alias, recipe.rollout, patience)
        self._scores = ScoreClient(run.channels.reward, patience)
        self._reward_version = self._pinned(reward)
        self._fingerprint = current_fingerprint().digest

    def __call__(self, training: PolicyTraining, step: int, random_seed: str) -> Segment:
        """Samples, scores, and decides the batch order."""
        run, num_prompts = self._run, self._recipe.rollout.prompts_per_step
        request_id, version = f"{run.record.run_id}/{step}", run.record.latest_version
        items = self._source.take((step - 1) * num_prompts, num_prompts)
        run.progress("rollout", 0, num_prompts)
        with run.timed("rollout"):
            groups = self._rollouts.sample(items, _seed(random_seed), request_id, version)
        run.progress("score", 0, num_prompts)
        with run.timed("score"):
            scores = self._scores.score(items, groups, self._reward_version, version, request_id)
        _log_failures(run, scores)
        if (step - 1) % self._recipe.show.every == 0:
            show_samples(run, items, groups, scores, self._recipe.show.samples)
        for sample in (sample for group in groups for sample in group.samples):
            del sample.parts[:]  # for people and scorers; training reads token ids
        header = SegmentHeader(
            step=step,
            random_seed=random_seed,
            fingerprint=self._fingerprint,
            policy_version=version,
            reward_version=self._reward_version,
            tasks=tuple(item.family for item in items),
            plan=UpdatePlan(minibatches=(), epochs=()),
        )
        run.progress("learn", 0, num_prompts)
        return training.planned(Segment(header, tuple(groups), scores, media_of(items)))

    def _pinned(self, reward: RewardChoice) -> str:
        """The version of the run's first session; scores of two versions are never mixed."""
        if not self._run.record.reward_version:
            version = self._scores.pin(reward, f"{self._run.record.run_id}/reward")
            self._run.update(reward_version=version)
        return self._run.record.reward_version


def media_of(items: Sequence[TaskItem]) -> dict[str, Medium]:
    """The media of prompts by content hash."""
    parts = (part for item in items for turn in item.conversation for part in turn.parts)
    return {content_sha256(p.data): p for p in parts if isinstance(p, Medium)}


def _log_failures(run: RunContext, scores: Mapping[str, reward_model_pb2.Score]) -> None:
    """Says of answers that were not scored how many there are, and why the first was not."""
    failed = [s for s in scores.values() if s.status != reward_model_pb2.SCORE_STATUS_SCORED]
    if failed:
        status = reward_model_pb2.ScoreStatus.Name(failed[0].status)
        reason = f"{status.removeprefix('SCORE_STATUS_')}: {failed[0].error}"
        run.log(f"{len(failed)} of {len(scores)} answers were not scored; {reason}", "warning")


def _seed(random_seed: str) -> int:
    """For the sampler: 63 bits."""
    return int.from_bytes(hashlib.sha256(random_seed.encode()).digest()[:8]) >> 1
