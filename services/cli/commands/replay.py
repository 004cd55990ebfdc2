"""`attune replay`: the same weights again, from the log of what a run consumed."""

from typing import Annotated

import typer

from services.cli.commands.options import DEFAULT_HOME, Home


def replay(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id of a finished run.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Repeat a run's updates from its log, and compare the weights bit for bit.

    Needs no services. Another machine, thread count or library version than the
    log was written with is refused, for it could not give the same bits.

    [bold]Example[/bold]

      attune replay RUN
    """
    from services.cli.subprocesses import replay_run

    replay_run(run, home)
