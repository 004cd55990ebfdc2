"""`attune bench`: what things cost on this machine."""

from typing import Annotated

import typer

from services.cli.commands.options import (
    DEFAULT_HOME,
    DEFAULT_PORT_BASE,
    Home,
    JsonFile,
    PortBase,
)

bench = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", help="Measure what things cost here."
)


@bench.callback()
def _measure() -> None: ...


@bench.command()
def media(
    model: Annotated[str, typer.Argument(metavar="ALIAS", help="Alias that answers.")] = "stable",
    rounds: Annotated[int, typer.Option(min=1, help="Times that each prompt is sent.")] = 15,
    json: JsonFile = None,
    home: Home = DEFAULT_HOME,
    port_base: PortBase = DEFAULT_PORT_BASE,
) -> None:
    """Time to the first token and memory, for text, a picture, recordings, a clip.

    Each medium is new when it is first sent (cold) and then sent again by its
    hash (cached). Medians; close other programs for figures worth keeping.

    [bold]Examples[/bold]

      attune bench media
      attune bench media --rounds 50 --json media.json
    """
    from services.cli.bench.command import BenchRequest, bench_media
    from services.cli.stack.connection import Place

    bench_media(BenchRequest(model, rounds, json), Place(home, port_base))
