"""`attune new task`: the start of a task of one's own."""

from pathlib import Path
from typing import Annotated

import typer

new = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", help="Begin something of your own."
)


@new.callback()
def _begin() -> None: ...


@new.command()
def task(
    folder: Annotated[Path, typer.Argument(metavar="NAME", help="Folder to make.")],
) -> None:
    """Write a small task that runs as it is: data, pictures, scorer, recipe.

    [bold]Examples[/bold]

      attune new task counting
      attune run counting/recipe.toml
      attune eval base run/ID --task counting/recipe.toml
    """
    from services.cli.new_task.writing import write_task
    from services.cli.terminal import results

    out = results()
    for path in write_task(folder):
        out.print(f"  {path}")
    out.print(f"  {folder / 'media'}/")
    out.print(f"[dim]next[/]  attune run {folder}/recipe.toml")
