"""One telling of an experiment on task files: its story, where its files lie, how parts are run."""

import time
from pathlib import Path

from services.cli.errors import UserError
from services.cli.experiments.improvement import Improvement, num_stages
from services.cli.experiments.outcome import TaskOutcome, outcome_figures, print_outcome
from services.cli.experiments.settings import TaskSettings
from services.cli.experiments.stages import Story
from services.cli.stack.connection import Services
from services.cli.terminal import write_json


class Telling:
    """`folder` holds task files and media, `picture` is the sheet of examples.

    The stages are the import and those of each part.
    """

    def __init__(
        self, services: Services, settings: TaskSettings, name: str, num_parts: int
    ) -> None:
        home = services.state.home
        self.project = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
        self.folder = home / "experiments" / self.project
        self.picture = home / "reports" / f"{self.project}.png"
        self.story = Story(1 + num_parts * num_stages(settings))
        self.improvement = Improvement(services, settings, self.story, self.project)


def required(data: Path | None, name: str, folder: str) -> Path:
    """The data's folder. Raises UserError where none is named."""
    if data is None:
        raise UserError(
            f"{name} needs its data", f"attune run {name} --data ../shared/data/{folder}"
        )
    return data


def report(outcome: TaskOutcome, json: Path | None) -> TaskOutcome:
    """Prints an outcome, and writes its figures where they are wanted."""
    print_outcome(outcome)
    if json:
        write_json(json, outcome_figures(outcome))
    return outcome
