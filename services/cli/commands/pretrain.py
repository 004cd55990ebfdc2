"""`attune pretrain`: a base policy from nothing."""

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


def pretrain(
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="a.b=v", help="Override a field of the recipe pretrain.toml."
        ),
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on from a run's last checkpoint.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Train there without services; resumes what is there."),
    ] = None,
    json: JsonFile = None,
    home: Home = DEFAULT_HOME,
    port_base: PortBase = DEFAULT_PORT_BASE,
) -> None:
    """Train a base policy from nothing on the default world, until a plateau.

    A stage like the others; it takes up to 90 minutes on two cores.
    With --out it needs no services: this is how the shipped base was made.

    [bold]Examples[/bold]

      attune pretrain
      attune pretrain --out /tmp/base
    """
    from services.cli.runs.command import RunRequest, run_command
    from services.cli.stack.connection import Place
    from services.cli.subprocesses import pretrain_alone

    if out is not None:
        pretrain_alone(out, tuple(settings or ()))
        return
    recipe = None if resume else "pretrain"
    asked = RunRequest(recipe, resume, tuple(settings or ()), None, True, json)
    run_command(asked, Place(home, port_base))
