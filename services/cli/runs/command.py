"""`attune run`: a recipe or a run to resume, watched to its end or left to the services."""

from dataclasses import dataclass
from pathlib import Path

from protos.v1 import training_orchestrator_pb2 as pb
from services.cli.errors import UserError
from services.cli.runs.following import FollowedRun, follow_run, resume_run, start_run
from services.cli.runs.recipes import RecipeFile, find_recipe, parse_overrides, runnable_recipes
from services.cli.runs.summary import print_summary, require_success, run_figures
from services.cli.runs.view import run_view
from services.cli.stack.connection import Place, Services, connected, require_state
from services.cli.terminal import messages, results, write_json


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What the user asked for: a recipe or a run to resume, one of them."""

    recipe: str | None
    resume: str | None
    settings: tuple[str, ...]
    data: Path | None
    watch: bool
    json: Path | None


def run_command(asked: RunRequest, place: Place) -> None:
    """Starts or resumes a run. Raises UserError."""
    if (asked.recipe is None) == (asked.resume is None):
        shipped = ", ".join(runnable_recipes())
        raise UserError("name a recipe, or a run with --resume", f"shipped recipes: {shipped}")
    if not asked.watch:
        require_state(place.home)  # services of our own would stop with this command
    recipe = find_recipe(asked.recipe) if asked.recipe else None
    if recipe and recipe.experiment:
        from services.cli.experiments import run_experiment

        run_experiment(recipe, parse_overrides(asked.settings), asked.data, asked.json, place)
        return
    with connected(place) as services:
        _run(asked, recipe, services)


def watch_to_end(services: Services, run: pb.Run) -> FollowedRun:
    """Shows a run's progress until it ends."""
    followed = FollowedRun(run)
    with run_view(followed) as on_event:
        follow_run(services.trainer, followed, on_event)
    return followed


def _run(asked: RunRequest, recipe: RecipeFile | None, services: Services) -> None:
    if recipe is None:
        run = resume_run(services.trainer, str(asked.resume))
    else:
        overrides = parse_overrides(asked.settings) | _data_override(asked.data)
        run = start_run(services.trainer, recipe, overrides)
    if not asked.watch:
        results().print(run.run_id)
        messages().print(f"[dim]watch it at[/] {services.gateway_url}")
        return
    messages().print(f"run [bold]{run.run_id}[/]  [dim]{services.gateway_url}  Ctrl-C stops it[/]")
    followed = watch_to_end(services, run)
    print_summary(followed)
    if asked.json:
        write_json(asked.json, run_figures(followed))
    require_success(followed.run)


def _data_override(data: Path | None) -> dict[str, str]:
    """`--data` of a JSONL recipe: the file, or the folder that holds data.jsonl."""
    if data is None:
        return {}
    path = data / "data.jsonl" if data.is_dir() else data
    if not path.is_file():
        raise UserError(
            f"there is no data file {path}", "a .jsonl file, or a folder with data.jsonl"
        )
    return {"data.source": "jsonl", "data.path": str(path.absolute())}
