"""A reward model out of judgements of a policy's own answers, in three stages.

The policy answers, simulated raters judge pairs through the feedback service, and a reward model
learns from a snapshot of what they said.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from protos.v1 import judgement_pb2
from services.cli.experiments.collection import Collection, JudgedItem, collect, to_proto
from services.cli.experiments.judging import freeze, put_items, submit_judgements
from services.cli.experiments.raters import judge_items
from services.cli.experiments.reward_check import RewardCheck, check_reward
from services.cli.experiments.settings import JudgingSettings, RunSettings
from services.cli.experiments.stages import Story
from services.cli.experiments.training import initial_override, train
from services.cli.stack.connection import Services
from services.cli.terminal import progress_bar
from services.common.dataset import TaskItem
from services.common.world.raters import Truth

NUM_STAGES = 3
Judgements = dict[str, list[judgement_pb2.Judgement]]


@dataclass(frozen=True, slots=True)
class JudgedRewardPlan:
    """What the stages are told. `truth` is seen by the raters, through noise; `scorer` names it."""

    project: str
    judging: JudgingSettings
    collection: Collection
    run: RunSettings
    run_overrides: Mapping[str, str]
    truth: Truth
    scorer: str
    seed: int


class JudgedReward:
    """One reward model; `plan.project` keeps its judgements apart from those of others."""

    def __init__(self, services: Services, story: Story, plan: JudgedRewardPlan) -> None:
        self._services, self._story, self._plan = services, story, plan

    def learn(self, items: Mapping[str, Sequence[TaskItem]]) -> tuple[str, RewardCheck]:
        """The reward version out of the items of split "train", tried on those of "check"."""
        judged = self._collect(items)
        judgements = self._judge(judged)
        snapshot_id = self._freeze()
        return self._train(snapshot_id, judged["check"], judgements["check"])

    def _collect(self, items: Mapping[str, Sequence[TaskItem]]) -> dict[str, list[JudgedItem]]:
        plan = self._plan
        total = sum(map(len, items.values())) * plan.collection.samples_per_item
        title = "Sample answers to be judged"
        with self._story.stage(title, plan.judging.budget_s) as stage, progress_bar() as bar:
            on_done = partial(bar.advance, bar.add_task("answers", total=total))
            begin_s = time.monotonic()
            judged = {
                split: collect(self._services, plan.collection, plan.project, split, some, on_done)
                for split, some in items.items()
            }
            stage.throughput = f"{total / (time.monotonic() - begin_s):.1f} answers/s"
        return judged

    def _judge(self, judged: dict[str, list[JudgedItem]]) -> Judgements:
        plan, feedback = self._plan, self._services.feedback
        title = "Simulated raters judge pairs"
        with (
            self._story.stage(title, plan.judging.judging_budget_s) as stage,
            progress_bar() as bar,
        ):
            self._story.tell("[yellow]simulated[/]: the raters are programs, not people")
            items = [item for some in judged.values() for item in some]
            begin_s = time.monotonic()
            put = partial(bar.advance, bar.add_task("items", total=len(items)))
            put_items(feedback, to_proto(items, plan.project), put)
            judgements = {
                split: list(judge_items(some, plan.judging, plan.seed, plan.truth))
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
        snapshot = freeze(self._services.feedback, self._plan.project, "train", kind)
        self._story.tell(
            f"snapshot {snapshot.snapshot_id}: {snapshot.num_judgements} judgements "
            f"of {snapshot.num_items} items"
        )
        return snapshot.snapshot_id

    def _train(
        self,
        snapshot_id: str,
        check_items: list[JudgedItem],
        check_judgements: list[judgement_pb2.Judgement],
    ) -> tuple[str, RewardCheck]:
        plan = self._plan
        overrides = {
            **plan.run_overrides,
            **initial_override(plan.collection.model),
            "data.snapshot_id": snapshot_id,
            "seed": str(plan.seed),
        }
        title = "Learn a reward model from the judgements"
        with self._story.stage(title, plan.run.budget_s) as stage:
            followed = train(self._services, stage, plan.run.recipe, overrides)
            version = followed.run.latest_version
            check = check_reward(
                self._services, version, plan.scorer, check_items, check_judgements
            )
            stage.figures["check"] = check.figures()
            if check.accuracy and check.ceiling:
                self._story.tell(
                    f"held-out pair accuracy {check.accuracy.mean:.3f}; "
                    f"the raters' noise admits {check.ceiling.mean:.3f}"
                )
        return version, check
