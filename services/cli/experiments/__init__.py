"""Experiments: several stages driven through the services, each with a report.

A recipe with `experiment = NAME` configures one. stages: budgets and times · training: runs ·
judging: items and judgements through the feedback service · pairs: accuracy on judged pairs ·
demo, nlvr: the experiments.
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
            case other:
                raise UserError(f"{recipe.path}: there is no experiment {other!r}: demo, nlvr")
