"""A run as one stage of an experiment."""

from collections.abc import Mapping

from services.cli.experiments.stages import Stage
from services.cli.runs.command import watch_to_end
from services.cli.runs.following import FollowedRun, start_run
from services.cli.runs.recipes import find_recipe
from services.cli.runs.summary import require_success, run_figures
from services.cli.stack.connection import Services


def train(
    services: Services, stage: Stage, recipe: str, overrides: Mapping[str, str]
) -> FollowedRun:
    """Runs a recipe to its end and notes its figures. Raises UserError where it fails."""
    run = start_run(services.trainer, find_recipe(recipe), overrides)
    followed = watch_to_end(services, run)
    require_success(followed.run)
    stage.figures |= run_figures(followed)
    stage.throughput = f"{followed.run.step} steps" + _rate_text(followed)
    return followed


def initial_override(model: str) -> dict[str, str]:
    """A run that starts from a policy's version ("policy-…"), or else from an alias."""
    is_version = model.startswith("policy-")
    return {"initial.version" if is_version else "initial.alias": model}


def _rate_text(followed: FollowedRun) -> str:
    if not followed.num_samples or not followed.active_s:
        return ""
    return f", {followed.num_samples / followed.active_s:.1f} samples/s"
