"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Home = Annotated[
    Path,
    typer.Option(
        "--home",
        envvar="ATTUNE_HOME",
        help="Folder that holds all state of the services.",
        rich_help_panel="Services",
    ),
]
PortBase = Annotated[
    int,
    typer.Option(
        "--port-base",
        envvar="ATTUNE_PORT_BASE",
        min=1024,
        max=60_000,
        help="Services listen at base + 1 to 4, metrics a hundred above, the gateway a thousand.",
        rich_help_panel="Services",
    ),
]
JsonFile = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Write the figures there as JSON; - prints them."),
]

DEFAULT_HOME = Path(".attune")
DEFAULT_PORT_BASE = 7000
