"""Experiments: several stages driven through the services, each with a report.

A recipe with `experiment = NAME` configures one. stages: budgets and times · training: runs ·
judging: items and judgements through the feedback service · pairs: accuracy on judged pairs ·
collection, raters, reward_check: a policy's answers, judged by simulated raters, and the reward
model of that (judged_reward) · task_file, telling, improvement, outcome: a start and RL on rows of
a task file, and its report with a contact_sheet of examples ·
demo, nlvr, spoken_digits, drawing_videos, emoji: the experiments.
"""

from pathlib import Path

from services.cli.errors import UserError
from services.cli.runs.recipes import RecipeFile, override
from services.cli.stack.connection import Place, connected


def run_experiment(
    recipe: RecipeFile,
    overrides: dict[str, str],
    data: Path | None,
    json: Path | None,
    place: Place,
) -> None:
    """Runs the experiment that a recipe names, on the services that are up or on its own."""
    values = override(recipe.values, overrides)
    with connected(place) as services:
        match values.pop("experiment"):
            case "demo":
                from services.cli.experiments.demo import DemoSettings, run_demo
                from services.cli.experiments.stages import read_settings

                run_demo(services, read_settings(DemoSettings, values, str(recipe.path)), json)
            case "nlvr":
                from services.cli.experiments.nlvr import run_nlvr

                run_nlvr(services, values, data, json)
            case "spoken_digits":
                from services.cli.experiments.spoken_digits import run_spoken_digits

                run_spoken_digits(services, values, data, json)
            case "drawing_videos":
                from services.cli.experiments.drawing_videos import run_drawing_videos

                run_drawing_videos(services, values, data, json)
            case "emoji":
                from services.cli.experiments.emoji import run_emoji

                run_emoji(services, values, data, json)
            case other:
                raise UserError(f"{recipe.path}: there is no experiment {other!r}")
