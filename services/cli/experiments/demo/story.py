"""The demo's stages in order: base, answers, judgement, reward model, RL, control, table."""

import time
from functools import partial
from pathlib import Path

from services.cli.evaluation.sampling import SamplingChoice
from services.cli.evaluation.scorecard import Scorecard, evaluate
from services.cli.evaluation.tasks import EvaluationTask, world_task
from services.cli.experiments import judged_reward
from services.cli.experiments.collection import Collection
from services.cli.experiments.demo.report import DemoOutcome, print_outcome, write_outcome
from services.cli.experiments.demo.settings import DemoSettings
from services.cli.experiments.demo.tasks import tasks_to_judge
from services.cli.experiments.judged_reward import JudgedReward, JudgedRewardPlan
from services.cli.experiments.reward_check import RewardCheck
from services.cli.experiments.stages import Story
from services.cli.experiments.training import train
from services.cli.stack.connection import Services
from services.cli.terminal import progress_bar
from services.common.world.raters import world_truth

_NUM_STAGES = 5 + judged_reward.NUM_STAGES


def run_demo(services: Services, settings: DemoSettings, json: Path | None) -> DemoOutcome:
    """Tells the whole story, prints its tables, and writes its figures."""
    demo = _Demo(services, settings)
    outcome = demo.tell()
    print_outcome(outcome)
    if json:
        write_outcome(outcome, json)
    return outcome


class _Demo:
    """One telling; `project` keeps its judgements apart from those of others."""

    def __init__(self, services: Services, settings: DemoSettings) -> None:
        self._services, self._settings = services, settings
        self._story = Story(_NUM_STAGES)
        self._project = f"demo-{time.strftime('%Y%m%d-%H%M%S')}"
        self._measure: EvaluationTask = world_task(
            settings.families,
            settings.evaluation.items_per_family,
            settings.level,
            settings.seed,
        )

    def tell(self) -> DemoOutcome:
        """All stages; each hands the next what it needs and no more."""
        base = self._evaluate("Evaluate the base", self._settings.initial)
        reward_version, check = self._learn_reward()
        improved = self._improve("policy", "RL against the learned reward", reward_version)
        control = self._improve("control", "Control: best-of-n, same compute", reward_version)
        after = self._evaluate("Evaluate after RL", improved)
        beside = self._evaluate("Evaluate the control", control)
        return DemoOutcome(
            self._settings, self._story, base, beside, after, check, self._services.state
        )

    def _evaluate(self, title: str, model: str) -> Scorecard:
        with self._story.stage(title, self._settings.evaluation.budget_s) as stage:
            with progress_bar() as bar:
                row = bar.add_task(f"eval {model}", total=len(self._measure.items))
                choice = SamplingChoice(seed=self._settings.seed)
                on_done = partial(bar.advance, row)
                card = evaluate(self._services, model, self._measure, choice, on_done)
            stage.throughput = f"{card.num_items / card.took_s:.1f} answers/s"
            mean = card.mean()
            if mean:
                self._story.tell(f"mean held-out score {mean.mean:.3f}")
        return card

    def _learn_reward(self) -> tuple[str, RewardCheck]:
        settings = self._settings
        plan = JudgedRewardPlan(
            project=self._project,
            judging=settings.collection,
            collection=Collection(
                settings.initial,
                settings.collection.samples_per_item,
                SamplingChoice(seed=settings.seed),
            ),
            run=settings.reward,
            run_overrides=settings.reward.overrides,
            truth=world_truth,
            scorer="program/world",
            seed=settings.seed,
        )
        items = {split: task.items for split, task in tasks_to_judge(settings).items()}
        return JudgedReward(self._services, self._story, plan).learn(items)

    def _improve(self, name: str, title: str, reward_version: str) -> str:
        run = getattr(self._settings, name)
        overrides = run.overrides | {
            "reward.version": reward_version,
            "initial.alias": self._settings.initial,
            "data.level": str(self._settings.level),
            "data.families": str(list(self._settings.families)),
            "seed": str(self._settings.seed),
        }
        with self._story.stage(title, run.budget_s) as stage:
            followed = train(self._services, stage, run.recipe, overrides)
        return followed.run.alias
