"""The stages in order: import, reward model on votes, supervised start, RL, held-out check."""

import time
from functools import partial
from pathlib import Path
from typing import Any

from protos.v1 import feedback_log_pb2, judgement_pb2
from services.cli.errors import UserError
from services.cli.evaluation.sampling import SamplingChoice
from services.cli.evaluation.scorecard import Scorecard, evaluate
from services.cli.evaluation.tasks import EvaluationTask, ScorerChoice
from services.cli.experiments.judging import freeze, put_items, submit_judgements
from services.cli.experiments.nlvr.floors import floors_of
from services.cli.experiments.nlvr.importing import to_item, to_judgements, write_task
from services.cli.experiments.nlvr.report import NlvrOutcome, outcome_figures, print_outcome
from services.cli.experiments.nlvr.reward_check import RewardAgreement, check_reward
from services.cli.experiments.nlvr.settings import NlvrSettings
from services.cli.experiments.nlvr.source import read_examples, split_by_sentence
from services.cli.experiments.settings import RunSettings
from services.cli.experiments.stages import Story, read_settings
from services.cli.experiments.training import train
from services.cli.stack.connection import Services
from services.cli.terminal import progress_bar, write_json
from services.common.dataset import JsonlSource

_NUM_STAGES = 5
_ANSWER_TOKENS = 16


def run_nlvr(
    services: Services, values: dict[str, Any], data: Path | None, json: Path | None
) -> NlvrOutcome:
    """The whole experiment, its table, and its figures."""
    if data is None:
        raise UserError("nlvr needs its data", "attune run nlvr --data ../shared/data/nlvr")
    settings = read_settings(NlvrSettings, values, "nlvr")
    outcome = _Nlvr(services, settings, data).tell()
    print_outcome(outcome)
    if json:
        write_json(json, outcome_figures(outcome))
    return outcome


class _Nlvr:
    """One telling; `project` keeps its votes apart from those of others."""

    def __init__(self, services: Services, settings: NlvrSettings, data: Path) -> None:
        self._services, self._settings = services, settings
        self._story = Story(_NUM_STAGES)
        self._project = f"nlvr-{time.strftime('%Y%m%d-%H%M%S')}"
        self._splits = split_by_sentence(read_examples(data), settings.heldout_share, settings.seed)
        self._task_file = services.state.home / "experiments" / self._project / "data.jsonl"

    def tell(self) -> NlvrOutcome:
        """All stages."""
        heldout_items, snapshot_id = self._import_votes()
        reward_version, agreement = self._learn_reward(snapshot_id, heldout_items)
        start = self._improve("Short supervised start", self._settings.start, {})
        run_overrides = {"reward.version": reward_version, "initial.version": start}
        improved = self._improve("RL against people's votes", self._settings.policy, run_overrides)
        cards = self._evaluate((self._settings.initial, start, improved))
        floors = floors_of(self._splits["heldout"])
        return NlvrOutcome(self._settings, self._story, floors, agreement, cards)

    def _import_votes(self) -> tuple[list[feedback_log_pb2.Item], str]:
        settings, feedback = self._settings, self._services.feedback
        title = "Import pictures, sentences and votes"
        with self._story.stage(title, settings.import_budget_s) as stage, progress_bar() as bar:
            items = {
                split: [to_item(e, self._project, split) for e in examples]
                for split, examples in self._splits.items()
            }
            every = [item for some in items.values() for item in some]
            put_items(
                feedback, every, partial(bar.advance, bar.add_task("items", total=len(every)))
            )
            examples = [e for some in self._splits.values() for e in some]
            votes = [j for e in examples for j in to_judgements(e, self._project)]
            on_vote = partial(bar.advance, bar.add_task("votes", total=len(votes)))
            submit_judgements(feedback, votes, on_vote)
            write_task(self._task_file, self._splits, settings.renderings)
            kind = judgement_pb2.RATER_KIND_IMPORTED
            snapshot = freeze(feedback, self._project, "train", kind)
            counts = {split: len(some) for split, some in items.items()}
            stage.figures |= {"examples": counts, "votes": len(votes)}
            stage.throughput = f"{len(every)} pictures, {len(votes)} votes"
        return items["heldout"], snapshot.snapshot_id

    def _learn_reward(
        self, snapshot_id: str, heldout: list[feedback_log_pb2.Item]
    ) -> tuple[str, RewardAgreement]:
        run = self._settings.reward
        overrides = run.overrides | {
            "data.snapshot_id": snapshot_id,
            "initial.alias": self._settings.initial,
            "seed": str(self._settings.seed),
        }
        with self._story.stage("Learn a reward model from the votes", run.budget_s) as stage:
            followed = train(self._services, stage, run.recipe, overrides)
            version = followed.run.latest_version
            agreement = check_reward(self._services, version, self._splits["heldout"], heldout)
            if agreement.with_label:
                share = agreement.with_label.mean
                self._story.tell(f"prefers the right answer on {share:.3f} of held-out pictures")
        return version, agreement

    def _improve(self, title: str, run: RunSettings, extra: dict[str, str]) -> str:
        overrides = run.overrides | {
            "data.path": str(self._task_file),
            "initial.alias": self._settings.initial,
            "seed": str(self._settings.seed),
        }
        if "initial.version" in extra:
            del overrides["initial.alias"]
        with self._story.stage(title, run.budget_s) as stage:
            followed = train(self._services, stage, run.recipe, overrides | extra)
        return followed.run.latest_version

    def _evaluate(self, models: tuple[str, ...]) -> dict[str, list[Scorecard]]:
        """Cards of each model, sampled and greedy."""
        items = tuple(JsonlSource(self._task_file, "heldout").items())
        task = EvaluationTask(items, ScorerChoice(version="program/exact"))
        title = "Check held-out answers against the labels"
        cards: dict[str, list[Scorecard]] = {"sampled": [], "greedy": []}
        with self._story.stage(title, self._settings.evaluation_budget_s), progress_bar() as bar:
            on_done = partial(
                bar.advance, bar.add_task("answers", total=2 * len(models) * len(items))
            )
            for name, temperature in (("sampled", 1.0), ("greedy", 0.0)):
                choice = SamplingChoice(temperature, _ANSWER_TOKENS, self._settings.seed)
                for model in models:
                    cards[name].append(evaluate(self._services, model, task, choice, on_done))
        return cards
