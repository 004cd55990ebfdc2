"""`attune run`: a training run or an experiment, from a recipe."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.commands.options import (
    DEFAULT_HOME,
    DEFAULT_PORT_BASE,
    Home,
    JsonFile,
    PortBase,
)


def run(
    recipe: Annotated[
        str | None,
        typer.Argument(metavar="RECIPE", help="Name of a shipped recipe, or path of one."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="a.b=v", help="Override a field of the recipe; repeatable."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch/--no-watch", help="Follow the run to its end.")
    ] = True,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on from a run's last checkpoint.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Data that the recipe reads.")
    ] = None,
    json: JsonFile = None,
    home: Home = DEFAULT_HOME,
    port_base: PortBase = DEFAULT_PORT_BASE,
) -> None:
    """Train from a recipe: reward models and policies.

    Uses the services that are up, or starts them for as long as the run lasts.
    Ctrl-C stops the run after its step, with a checkpoint.

    [bold]Examples[/bold]

      attune run world_rl
      attune run world_rl --set steps=50 --set algorithm.name=rloo
      attune run mytask/recipe.toml
      attune run --resume RUN
      attune run nlvr --data ../shared/data/nlvr
      attune run spoken_digits --data ../shared/data/spoken-digits --set reward=judgements
    """
    from services.cli.runs.command import RunRequest, run_command
    from services.cli.stack.connection import Place

    asked = RunRequest(recipe, resume, tuple(settings or ()), data, watch, json)
    run_command(asked, Place(home, port_base, scorer_roots(recipe)))


def scorer_roots(recipe: str | None) -> tuple[Path, ...]:
    """Folders whose scorers the services may run: here, and where the recipe lies."""
    roots = (Path.cwd(),)
    return roots if recipe is None else (*roots, Path(recipe).absolute().parent)
