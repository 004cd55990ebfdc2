"""The stages in order: import with variants; then start, RL and held-out answers per speaker."""

from functools import partial
from pathlib import Path
from typing import Any

from services.cli.experiments.improvement import Part, PartOutcome
from services.cli.experiments.outcome import Bound, TaskOutcome
from services.cli.experiments.spoken_digits.importing import rows_without, write_variants
from services.cli.experiments.spoken_digits.picture import write_examples
from services.cli.experiments.spoken_digits.settings import SpokenDigitsSettings
from services.cli.experiments.spoken_digits.source import read_recordings, speakers_of
from services.cli.experiments.stages import read_settings
from services.cli.experiments.task_file import write_task
from services.cli.experiments.telling import Telling, report, required
from services.cli.stack.connection import Services
from services.cli.terminal import progress_bar

_NAME = "spoken_digits"
_CHANCE = 0.1
_ANSWER_TOKENS = 12


def run_spoken_digits(
    services: Services, values: dict[str, Any], data: Path | None, json: Path | None
) -> TaskOutcome:
    """The whole experiment, its tables, its picture and its figures."""
    folder = required(data, _NAME, "spoken-digits")
    settings = read_settings(SpokenDigitsSettings, values, _NAME)
    return report(_SpokenDigits(services, settings, folder).tell(), json)


class _SpokenDigits:
    """One telling."""

    def __init__(self, services: Services, settings: SpokenDigitsSettings, data: Path) -> None:
        self._settings = settings
        self._recordings = read_recordings(data)
        self._speakers = settings.speakers or tuple(speakers_of(self._recordings))
        self._telling = Telling(services, settings, _NAME, len(self._speakers))

    def tell(self) -> TaskOutcome:
        """All stages."""
        telling = self._telling
        parts = self._import()
        outcomes: list[PartOutcome] = [telling.improvement.run(part) for part in parts]
        return TaskOutcome(
            title="Spoken digits of a speaker who is held out",
            settings=self._settings,
            story=telling.story,
            parts=tuple(outcomes),
            picture=write_examples(telling.picture, outcomes),
            bounds=tuple(Bound("chance", speaker, _CHANCE) for speaker in self._speakers),
        )

    def _import(self) -> list[Part]:
        settings, telling = self._settings, self._telling
        title = "Import recordings, and variants of them"
        with telling.story.stage(title, settings.import_budget_s) as stage, progress_bar() as bar:
            on_done = partial(bar.advance, bar.add_task("recordings", total=len(self._recordings)))
            variants = write_variants(
                self._recordings,
                telling.folder / "variants",
                settings.variants,
                settings.seed,
                on_done,
            )
            parts = [self._part(speaker, variants) for speaker in self._speakers]
            num_variants = sum(map(len, variants.values()))
            stage.throughput = f"{len(self._recordings)} recordings, {num_variants} variants"
        return parts

    def _part(self, speaker: str, variants: dict[Path, list[Path]]) -> Part:
        path = self._telling.folder / speaker / "data.jsonl"
        write_task(path, rows_without(self._recordings, variants, speaker))
        return Part(speaker, path, "program/exact", _ANSWER_TOKENS)
