"""The stages in order: clips out of the ink; per fold start, RL and held-out answers; controls."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from services.cli.experiments.drawing_videos.importing import (
    Shown,
    heldout_clips,
    training_clips,
    write_rows,
)
from services.cli.experiments.drawing_videos.picture import write_examples
from services.cli.experiments.drawing_videos.settings import DrawingVideosSettings
from services.cli.experiments.drawing_videos.source import hold_out, read_characters
from services.cli.experiments.improvement import Part, PartOutcome
from services.cli.experiments.outcome import TaskOutcome
from services.cli.experiments.stages import read_settings
from services.cli.experiments.task_file import write_task
from services.cli.experiments.telling import Telling, report, required
from services.cli.stack.connection import Services
from services.cli.terminal import progress_bar

_NAME = "drawing_videos"
_ANSWER_TOKENS = 8
_CONTROLS = (Shown.LAST_FRAME, Shown.LAST_FRAME_IN_COLOUR)


def run_drawing_videos(
    services: Services, values: dict[str, Any], data: Path | None, json: Path | None
) -> TaskOutcome:
    """The whole experiment, its tables, its picture and its figures."""
    folder = required(data, _NAME, "drawing-videos")
    settings = read_settings(DrawingVideosSettings, values, _NAME)
    return report(_DrawingVideos(services, settings, folder).tell(), json)


class _DrawingVideos:
    """One telling."""

    def __init__(self, services: Services, settings: DrawingVideosSettings, data: Path) -> None:
        self._settings = settings
        self._characters = read_characters(data)
        self._num_folds = min(settings.folds, settings.run_folds or settings.folds)
        controls = len(_CONTROLS) * settings.control_folds
        self._telling = Telling(services, settings, _NAME, self._num_folds + controls)

    def tell(self) -> TaskOutcome:
        """All stages."""
        settings, telling = self._settings, self._telling
        parts = self._import()
        outcomes = self._run(parts[Shown.CLIP])
        controls = {str(shown): self._run(parts[shown]) for shown in _CONTROLS if parts[shown]}
        return TaskOutcome(
            title="In which order was it drawn? Characters that are held out",
            settings=settings,
            story=telling.story,
            parts=tuple(outcomes),
            picture=write_examples(telling.picture, outcomes),
            controls=controls,
        )

    def _run(self, parts: Sequence[Part]) -> tuple[PartOutcome, ...]:
        return tuple(self._telling.improvement.run(part) for part in parts)

    def _import(self) -> dict[Shown, list[Part]]:
        settings, telling = self._settings, self._telling
        num_parts = {Shown.CLIP: self._num_folds} | dict.fromkeys(_CONTROLS, settings.control_folds)
        title = "Import drawings, and clips made of their ink"
        with telling.story.stage(title, settings.import_budget_s) as stage, progress_bar() as bar:
            row = bar.add_task("clips", total=None)
            parts = {
                shown: [self._part(fold, shown, partial(bar.advance, row)) for fold in range(count)]
                for shown, count in num_parts.items()
            }
            stage.throughput = f"{len(self._characters)} characters"
        return parts

    def _part(self, fold: int, shown: Shown, on_done: Any) -> Part:
        settings = self._settings
        splits = hold_out(self._characters, fold, settings.folds)
        name = f"fold {fold}" if shown is Shown.CLIP else f"fold {fold}, {shown}"
        folder = self._telling.folder / name.replace(", ", "-").replace(" ", "_")
        train = training_clips(splits["train"], settings.variants, settings.seed)
        rows = [
            *write_rows(train, folder / "train", "train", shown, on_done),
            *write_rows(
                heldout_clips(splits["heldout"], settings.seed),
                folder / "heldout",
                "heldout",
                shown,
                on_done,
            ),
        ]
        task_file = write_task(folder / "data.jsonl", rows)
        return Part(name, task_file, "program/exact", _ANSWER_TOKENS)
