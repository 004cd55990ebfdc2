"""The stages in order: import; per task start, RL and held-out answers; floors and ceiling."""

from pathlib import Path
from typing import Any

from services.cli.experiments.emoji.bounds import caption_bounds, ceiling, draw_bounds
from services.cli.experiments.emoji.importing import SCORERS, rows_of, write_pictures
from services.cli.experiments.emoji.picture import write_examples
from services.cli.experiments.emoji.settings import EmojiSettings, EmojiTask
from services.cli.experiments.emoji.source import read_emoji, split_by_subgroup
from services.cli.experiments.improvement import GREEDY, Part, PartOutcome
from services.cli.experiments.outcome import Bound, TaskOutcome
from services.cli.experiments.stages import read_settings
from services.cli.experiments.task_file import write_task
from services.cli.experiments.telling import Telling, report, required
from services.cli.stack.connection import Services
from services.cli.subprocesses import round_trip
from services.common.version_store import VersionStore

_NAME = "emoji"
_NAME_TOKENS = 32


def run_emoji(
    services: Services, values: dict[str, Any], data: Path | None, json: Path | None
) -> TaskOutcome:
    """The whole experiment, its tables, its picture and its figures."""
    folder = required(data, _NAME, "openmoji")
    settings = read_settings(EmojiSettings, values, _NAME)
    return report(_Emoji(services, settings, folder).tell(), json)


class _Emoji:
    """One telling."""

    def __init__(self, services: Services, settings: EmojiSettings, data: Path) -> None:
        self._services, self._settings = services, settings
        emoji = read_emoji(data)
        self._splits = split_by_subgroup(emoji, settings.heldout_share, settings.seed)
        self._telling = Telling(services, settings, _NAME, len(settings.tasks))

    def tell(self) -> TaskOutcome:
        """All stages."""
        telling = self._telling
        parts = self._import()
        outcomes = {task: telling.improvement.run(part) for task, part in parts.items()}
        bounds = self._bounds(outcomes)
        return TaskOutcome(
            title="Emoji of subgroups that are held out",
            settings=self._settings,
            story=telling.story,
            parts=tuple(outcomes.values()),
            picture=write_examples(telling.picture, outcomes, self._round_trips),
            bounds=tuple(bounds),
        )

    @property
    def _round_trips(self) -> Path:
        return self._telling.folder / "round_trips"

    def _import(self) -> dict[EmojiTask, Part]:
        settings, telling = self._settings, self._telling
        with telling.story.stage("Import pictures and names", settings.import_budget_s) as stage:
            paths: dict[str, Path] = {}
            for split, some in self._splits.items():
                paths |= write_pictures(some, telling.folder / "pictures" / split)
            parts = {
                task: Part(
                    task,
                    write_task(
                        telling.folder / task / "data.jsonl", rows_of(task, self._splits, paths)
                    ),
                    SCORERS[task],
                    _NAME_TOKENS,
                )
                for task in settings.tasks
            }
            counts = {split: len(some) for split, some in self._splits.items()}
            stage.figures["emoji"] = counts
            stage.throughput = f"{counts['train']} to train on, {counts['heldout']} held out"
        return parts

    def _bounds(self, outcomes: dict[EmojiTask, PartOutcome]) -> list[Bound]:
        seed, bounds = self._settings.seed, []
        if "caption" in outcomes:
            bounds += caption_bounds(self._splits, seed)
        if "draw" in outcomes:
            version = outcomes["draw"].cards[GREEDY][0].policy_version
            store = VersionStore(self._services.state.home / "versions")
            pictures = self._telling.folder / "pictures" / "heldout"
            round_trip(store.folder("policy", version), pictures, self._round_trips)
            bounds += draw_bounds(self._splits, seed)
            bounds.append(ceiling(self._splits["heldout"], self._round_trips))
        return bounds
