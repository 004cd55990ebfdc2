"""`attune demo`: the loop, watched."""

from typing import Annotated

import typer

from services.cli.commands.options import (
    DEFAULT_HOME,
    DEFAULT_PORT_BASE,
    Home,
    JsonFile,
    PortBase,
)


def demo(
    exit_: Annotated[
        bool, typer.Option("--exit", help="Stop the services at the end instead of serving on.")
    ] = False,
    minutes: Annotated[
        float, typer.Option(min=0.1, help="How long the whole may take, about.")
    ] = 10.0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="a.b=v", help="Override a field of the recipe demo.toml."),
    ] = None,
    json: JsonFile = None,
    home: Home = DEFAULT_HOME,
    port_base: PortBase = DEFAULT_PORT_BASE,
) -> None:
    """Watch the whole loop in ten minutes.

    The shipped policy answers training items, SIMULATED raters judge pairs of
    its answers, a reward model learns from their judgements alone, and RL
    improves the policy against it. Checkers that no reward saw measure it,
    before and after, beside a control that had the same time.

    [bold]Examples[/bold]

      attune demo
      attune demo --exit --json demo.json
      attune demo --minutes 20
    """
    from services.cli.experiments.demo.command import DemoRequest, demo_command
    from services.cli.stack.connection import Place

    demo_command(DemoRequest(exit_, minutes, tuple(settings or ()), json), Place(home, port_base))
