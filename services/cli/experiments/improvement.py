"""One part of an experiment on task files: a short supervised start, RL, and both measured.

A part is one split of the data, with its own task file and scorer: a speaker who is held out, a
fold, one of several tasks. RL runs against the scorer, or against a model of judged pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from services.cli.evaluation.sampling import SamplingChoice
from services.cli.evaluation.scorecard import Scorecard, evaluate
from services.cli.evaluation.tasks import EvaluationTask, ScorerChoice
from services.cli.experiments import judged_reward
from services.cli.experiments.collection import Collection
from services.cli.experiments.judged_reward import JudgedReward, JudgedRewardPlan
from services.cli.experiments.reward_check import RewardCheck
from services.cli.experiments.settings import RunSettings, TaskSettings
from services.cli.experiments.stages import Story
from services.cli.experiments.task_file import Split
from services.cli.experiments.training import initial_override, train
from services.cli.stack.connection import Services
from services.cli.terminal import progress_bar
from services.common.checks import CHECKS
from services.common.dataset import JsonlSource, TaskItem

SAMPLED, GREEDY = "sampled", "greedy"
_TEMPERATURES = {SAMPLED: 1.0, GREEDY: 0.0}


@dataclass(frozen=True, slots=True)
class Part:
    """`scorer` measures; it is one of services/common/checks."""

    name: str
    task_file: Path
    scorer: str
    max_tokens: int


@dataclass(frozen=True)
class PartOutcome:
    """`cards` are of the start and of RL, by how answers were taken: sampled, greedy."""

    part: Part
    cards: dict[str, tuple[Scorecard, Scorecard]]
    reward_check: RewardCheck | None


def num_stages(settings: TaskSettings) -> int:
    """Of one part."""
    return 3 + (judged_reward.NUM_STAGES if settings.reward == "judgements" else 0)


class Improvement:
    """Runs parts, one after the other; `project` names what it leaves behind."""

    def __init__(
        self, services: Services, settings: TaskSettings, story: Story, project: str
    ) -> None:
        self._services, self._settings = services, settings
        self._story, self._project = story, project

    def run(self, part: Part) -> PartOutcome:
        """All stages of a part."""
        settings = self._settings
        title = f"{part.name}: short supervised start"
        start = self._train(part, title, settings.start, settings.initial, {})
        check = None
        if settings.reward == "judgements":
            reward, check = self._learn_reward(part, start)
            run, title = settings.judged_policy, f"{part.name}: RL against the learned reward"
        else:
            reward, run, title = part.scorer, settings.policy, f"{part.name}: RL"
        improved = self._train(part, title, run, start, {"reward.version": reward})
        return PartOutcome(part, self._evaluate(part, (start, improved)), check)

    def _train(
        self, part: Part, title: str, run: RunSettings, initial: str, extra: dict[str, str]
    ) -> str:
        overrides = {
            "data.path": str(part.task_file.absolute()),
            "seed": str(self._settings.seed),
            **initial_override(initial),
            **run.step_overrides,
            **extra,
        }
        with self._story.stage(title, run.budget_s) as stage:
            followed = train(self._services, stage, run.recipe, overrides)
        return followed.run.latest_version

    def _learn_reward(self, part: Part, start: str) -> tuple[str, RewardCheck]:
        settings, check = self._settings, CHECKS[part.scorer]
        judging = settings.judging
        plan = JudgedRewardPlan(
            project=f"{self._project}/{part.name}",
            judging=judging,
            collection=Collection(
                start,
                judging.samples_per_item,
                SamplingChoice(max_tokens=part.max_tokens, seed=settings.seed),
            ),
            run=settings.reward_model,
            run_overrides=settings.reward_model.step_overrides,
            truth=lambda family, reference, answer: check(reference, answer).score,
            scorer=part.scorer,
            seed=settings.seed,
        )
        items = {
            "train": _some(part, "train", judging.items, settings.seed),
            "check": _some(part, "heldout", judging.check_items, settings.seed),
        }
        return JudgedReward(self._services, self._story, plan).learn(items)

    def _evaluate(
        self, part: Part, models: tuple[str, str]
    ) -> dict[str, tuple[Scorecard, Scorecard]]:
        items = self._heldout(part)
        task = EvaluationTask(items, ScorerChoice(version=part.scorer))
        title = f"{part.name}: held-out answers"
        budget_s = self._settings.evaluation_budget_s
        with self._story.stage(title, budget_s) as stage, progress_bar() as bar:
            total = len(_TEMPERATURES) * len(models) * len(items)
            on_done = partial(bar.advance, bar.add_task("answers", total=total))

            def card(model: str, temperature: float) -> Scorecard:
                choice = SamplingChoice(temperature, part.max_tokens, self._settings.seed)
                return evaluate(self._services, model, task, choice, on_done)

            cards = {
                how: (card(models[0], temperature), card(models[1], temperature))
                for how, temperature in _TEMPERATURES.items()
            }
            took_s = sum(c.took_s for pair in cards.values() for c in pair)
            stage.throughput = f"{total / took_s:.1f} answers/s"
        self._tell(cards)
        return cards

    def _heldout(self, part: Part) -> tuple[TaskItem, ...]:
        count = self._settings.heldout_items
        if count is not None:
            return tuple(_some(part, "heldout", count, self._settings.seed))
        return tuple(JsonlSource(part.task_file, "heldout").items())

    def _tell(self, cards: dict[str, tuple[Scorecard, Scorecard]]) -> None:
        for how, (start, improved) in cards.items():
            before, after = start.mean(), improved.mean()
            if before and after:
                self._story.tell(f"{how}: {before.mean:.3f} before RL, {after.mean:.3f} after")


def _some(part: Part, split: Split, count: int, seed: int) -> list[TaskItem]:
    """Rows in the seed's order, none twice."""
    source = JsonlSource(part.task_file, split, seed)
    return source.take(0, min(count, len(source)))


def joined(outcomes: Sequence[PartOutcome], how: str) -> tuple[Scorecard, Scorecard]:
    """The cards of several parts as one: families of one name are put together."""
    before, after = zip(*(outcome.cards[how] for outcome in outcomes), strict=True)
    return _joined(before), _joined(after)


def _joined(cards: Sequence[Scorecard]) -> Scorecard:
    families = dict.fromkeys(family for card in cards for family in card.scored)
    return Scorecard(
        model=", ".join(card.model for card in cards),
        policy_version=", ".join(card.policy_version for card in cards),
        scored={f: [s for card in cards for s in card.scored.get(f, [])] for f in families},
        took_s=sum(card.took_s for card in cards),
    )
