"""Where things are printed: results on standard output, messages and progress on standard error."""

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_PIPED_WIDTH = 120


@cache
def results() -> Console:
    """What the user asked for; may be piped, and is then as wide as its tables want."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPED_WIDTH
    return console


@cache
def messages() -> Console:
    """Progress, hints and errors."""
    return Console(stderr=True, highlight=False)


def progress_bar(console: Console | None = None) -> Progress:
    """A bar with counts and the time left, gone when it is done; nothing where none can be."""
    out = console or messages()
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=out,
        transient=True,
        disable=not out.is_terminal,
    )


def write_json(path: Path, figures: Mapping[str, Any]) -> None:
    """Writes figures to a file, whole or not at all; "-" is standard output."""
    text = json.dumps(figures, indent=2, ensure_ascii=False)
    if str(path) == "-":
        print(text)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.partial")
    scratch.write_text(text + "\n")
    scratch.replace(path)
    messages().print(f"[dim]figures written to[/] {path}")
