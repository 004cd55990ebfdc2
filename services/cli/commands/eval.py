"""`attune eval`: held-out scores."""

from typing import Annotated

import typer

from services.cli.commands.options import (
    DEFAULT_HOME,
    DEFAULT_PORT_BASE,
    Home,
    JsonFile,
    PortBase,
)


def eval_(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="ALIAS", help="Aliases or versions.")
    ] = None,
    families: Annotated[
        str, typer.Option(metavar="A,B", help="Families of the world to ask from.")
    ] = "caption,vqa,draw,align,speech,video",
    items: Annotated[int, typer.Option(min=1, help="Items per family.")] = 500,
    temperature: Annotated[
        float, typer.Option(min=0, max=10, help="0 is greedy; 1 is the policy as it is trained.")
    ] = 1.0,
    level: Annotated[
        int | None, typer.Option(min=1, max=4, help="Difficulty of the world; the default's own.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the items and of the sampling.")] = 0,
    task: Annotated[
        str | None,
        typer.Option(metavar="RECIPE", help="Evaluate on the held-out rows of a task instead."),
    ] = None,
    json: JsonFile = None,
    home: Home = DEFAULT_HOME,
    port_base: PortBase = DEFAULT_PORT_BASE,
) -> None:
    """Score policies on held-out items, with 95 % bootstrap intervals.

    Several aliases get the same items and random streams and are compared with
    the first, item by item. What could not be scored is counted, never zero.

    [bold]Examples[/bold]

      attune eval
      attune eval base run/ID --items 1000 --json scores.json
      attune eval stable --families draw,align --temperature 0
      attune eval base run/ID --task mytask/recipe.toml
    """
    from services.cli.commands.run import scorer_roots
    from services.cli.evaluation.command import EvaluationRequest, evaluation_command
    from services.cli.stack.connection import Place

    asked = EvaluationRequest(
        models=tuple(models or ("stable",)),
        families=tuple(name.strip() for name in families.split(",")),
        items=items,
        level=level,
        seed=seed,
        temperature=temperature,
        task=task,
        json=json,
    )
    evaluation_command(asked, Place(home, port_base, scorer_roots(task)))
