"""A run as one stage of an experiment."""

from collections.abc import Mapping

from services.cli.experiments.stages import Stage
from services.cli.runs.command import watch_to_end
from services.cli.runs.following import FollowedRun, start_run
from services.cli.runs.recipes import find_recipe
from services.cli.runs.summary import require_success, run_figures
from services.cli.stack.connection import Services

# A rate that a stage reports, by the metric that holds it.
_RATES = {"samples_per_s": "samples/s", "items_per_s": "items/s", "pairs_per_s": "pairs/s"}


def train(
    services: Services, stage: Stage, recipe: str, overrides: Mapping[str, str]
) -> FollowedRun:
    """Runs a recipe to its end and notes its figures. Raises UserError where it fails."""
    run = start_run(services.trainer, find_recipe(recipe), overrides)
    followed = watch_to_end(services, run)
    require_success(followed.run)
    stage.figures |= run_figures(followed)
    stage.throughput = f"{followed.run.step} steps" + _rate_text(followed.metrics)
    return followed


def _rate_text(metrics: Mapping[str, float]) -> str:
    for name, value in metrics.items():
        unit = _RATES.get(name.rpartition("/")[2])
        if unit:
            return f", {value:.1f} {unit}"
    return ""
