"""Scores of held-out items at run/ID as the run goes on; figures for people, nothing is learned."""

import statistics
from collections import defaultdict

from services.trainer.recipe import PolicyRecipe
from services.trainer.recipe_sections import HeldoutSection
from services.trainer.rollouts import RolloutClient
from services.trainer.run_context import RunContext
from services.trainer.scoring import ScoreClient
from services.trainer.sources import open_source

# Held-out items and random streams are the same at every step, so that curves can be compared.
_SEED = 0


class HeldoutScores:
    """Called after each step; does something every so many."""

    def __init__(self, run: RunContext, recipe: PolicyRecipe) -> None:
        self._run = run
        self._steps = recipe.steps
        self._section = recipe.heldout
        if self._section is None:
            return
        rollout = recipe.rollout.model_copy(update={"samples_per_prompt": 1})
        self._rollouts = RolloutClient(run.channels.policy, run.record.alias, rollout, run.patience)
        self._scores = ScoreClient(run.channels.reward, run.patience)
        source = open_source(recipe.data, _SEED, "heldout")
        self._items = source.take(0, self._section.items)

    def __call__(self, step: int) -> None:
        """Emits `heldout_mean` and `heldout_mean/FAMILY` at temperature as in training."""
        section = self._section
        if section is not None and (step == 1 or step % section.every == 0 or step == self._steps):
            self._measure(step, section)

    def _measure(self, step: int, section: HeldoutSection) -> None:
        version = self._run.record.latest_version
        request_id = f"{self._run.record.run_id}/heldout/{step}"
        self._run.progress("heldout", 0, len(self._items))
        groups = self._rollouts.sample(self._items, _SEED, request_id, version)
        scores = self._scores.score(self._items, groups, section.scorer, version, request_id)
        by_family: defaultdict[str, list[float]] = defaultdict(list)
        for item, group in zip(self._items, groups, strict=True):
            score = scores[group.samples[0].sample_id]
            if score.HasField("reward"):
                by_family[item.family].append(score.reward)
        means = {family: statistics.fmean(rewards) for family, rewards in by_family.items()}
        if means:
            named = {f"heldout_mean/{family}": mean for family, mean in means.items()}
            self._run.measured({"heldout_mean": statistics.fmean(means.values()), **named})
