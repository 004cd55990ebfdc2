"""`attune up`: the five services on this machine."""

from typing import Annotated

import typer

from services.cli.commands.options import DEFAULT_HOME, DEFAULT_PORT_BASE, Home, PortBase


def up(
    home: Home = DEFAULT_HOME,
    port_base: PortBase = DEFAULT_PORT_BASE,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return once they serve; `attune down` stops.")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="How long they may take to be ready.")
    ] = 120.0,
) -> None:
    """Start the five services on this machine.

    They run as child processes under one state folder and share the cores.
    One that dies is started again. Logs are in HOME/logs.
    Ctrl-C lets requests finish and stops them.

    [bold]Examples[/bold]

      attune up
      attune up --detach
      attune up --home /tmp/second --port-base 9000
    """
    from services.cli.stack.running import up_detached, up_foreground

    (up_detached if detach else up_foreground)(home, port_base, wait)
