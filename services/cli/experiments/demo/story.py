"""The demo's stages in order: base, answers, judgement, reward model, RL, control, table."""

import time
from functools import partial
from pathlib import Path

from protos.v1 import judgement_pb2
from services.cli.evaluation.sampling import SamplingChoice
from services.cli.evaluation.scorecard import Scorecard, evaluate
from services.cli.evaluation.tasks import EvaluationTask, world_task
from services.cli.experiments.demo.collection import (
    JudgedItem,
    collect,
    tasks_to_judge,
    to_proto,
)
from services.cli.experiments.demo.raters import judge_items
from services.cli.experiments.demo.report import DemoOutcome, print_outcome, write_outcome
from services.cli.experiments.demo.reward_check import RewardCheck, check_reward
from services.cli.experiments.demo.settings import DemoSettings
from services.cli.experiments.judging import freeze, put_items, submit_judgements
from services.cli.experiments.stages import Story
from services.cli.experiments.training import train
from services.cli.stack.connection import Services
from services.cli.terminal import progress_bar

_NUM_STAGES = 8


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
        judged = self._collect()
        judgements = self._judge(judged)
        snapshot_id = self._freeze()
        reward_version, check = self._learn_reward(snapshot_id, judged["check"], judgements)
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

    def _collect(self) -> dict[str, list[JudgedItem]]:
        settings = self._settings.collection
        tasks = tasks_to_judge(self._settings)
        total = sum(len(task.items) for task in tasks.values()) * settings.samples_per_item
        title = "Sample answers to training items"
        with self._story.stage(title, settings.budget_s) as stage, progress_bar() as bar:
            on_done = partial(bar.advance, bar.add_task("answers", total=total))
            begin_s = time.monotonic()
            judged = {
                split: collect(self._services, self._settings, self._project, split, task, on_done)
                for split, task in tasks.items()
            }
            stage.throughput = f"{total / (time.monotonic() - begin_s):.1f} answers/s"
        return judged

    def _judge(
        self, judged: dict[str, list[JudgedItem]]
    ) -> dict[str, list[judgement_pb2.Judgement]]:
        settings = self._settings.collection
        feedback = self._services.feedback
        title = "Simulated raters judge pairs"
        with self._story.stage(title, settings.judging_budget_s) as stage, progress_bar() as bar:
            self._story.tell("[yellow]simulated[/]: the raters are programs, not people")
            items = [item for some in judged.values() for item in some]
            begin_s = time.monotonic()
            put = partial(bar.advance, bar.add_task("items", total=len(items)))
            put_items(feedback, to_proto(items, self._project), put)
            judgements = {
                split: list(judge_items(some, settings, self._settings.seed))
                for split, some in judged.items()
            }
            every = [judgement for some in judgements.values() for judgement in some]
            submit = partial(bar.advance, bar.add_task("judgements", total=len(every)))
            submit_judgements(feedback, every, submit)
            stage.throughput = f"{len(every) / (time.monotonic() - begin_s):.0f} judgements/s"
            stage.figures["judgements"] = {s: len(some) for s, some in judgements.items()}
        return judgements

    def _freeze(self) -> str:
        kind = judgement_pb2.RATER_KIND_SIMULATED
        snapshot = freeze(self._services.feedback, self._project, "train", kind)
        self._story.tell(
            f"snapshot {snapshot.snapshot_id}: {snapshot.num_judgements} judgements "
            f"of {snapshot.num_items} items"
        )
        return snapshot.snapshot_id

    def _learn_reward(
        self,
        snapshot_id: str,
        check_items: list[JudgedItem],
        judgements: dict[str, list[judgement_pb2.Judgement]],
    ) -> tuple[str, RewardCheck]:
        run = self._settings.reward
        overrides = run.overrides | {
            "data.snapshot_id": snapshot_id,
            "initial.alias": self._settings.initial,
            "seed": str(self._settings.seed),
        }
        with self._story.stage("Learn a reward model from the judgements", run.budget_s) as stage:
            followed = train(self._services, stage, run.recipe, overrides)
            version = followed.run.latest_version
            check = check_reward(self._services, version, check_items, judgements["check"])
            stage.figures["check"] = check.figures()
            if check.accuracy and check.ceiling:
                self._story.tell(
                    f"held-out pair accuracy {check.accuracy.mean:.3f}; "
                    f"the raters' noise admits {check.ceiling.mean:.3f}"
                )
        return version, check

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
