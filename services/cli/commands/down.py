"""`attune down`: stops what `attune up` started."""

import typer

from services.cli.commands.options import DEFAULT_HOME, Home


def down(home: Home = DEFAULT_HOME) -> None:
    """Stop the services of a home folder.

    Requests in flight get to finish first. Runs in progress keep their last
    checkpoint and go on with `attune run --resume`.
    """
    from services.cli.stack.running import stop_services
    from services.cli.terminal import results

    stopped = stop_services(home)
    if not stopped:
        results().print(f"nothing is up for home {home}")
        raise typer.Exit(0)
    results().print(f"stopped {', '.join(stopped)}")
