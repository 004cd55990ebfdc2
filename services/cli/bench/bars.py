"""What a measurement is held to, and whether it was met."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table


@dataclass(frozen=True, slots=True)
class Bar:
    """An upper bound on a figure."""

    name: str
    measured: float
    allowed: float
    unit: str = ""

    @property
    def is_met(self) -> bool:
        return self.measured <= self.allowed


def bars_table(bars: Sequence[Bar]) -> Table:
    """A row per bar."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("held to")
    table.add_column("measured", justify="right")
    table.add_column("at most", justify="right")
    table.add_column("")
    for bar in bars:
        verdict = "[green]met[/]" if bar.is_met else "[red]missed[/]"
        figures = (f"{value:,.4g}{bar.unit}" for value in (bar.measured, bar.allowed))
        table.add_row(bar.name, *figures, verdict)
    return table


def bars_figures(bars: Sequence[Bar]) -> dict[str, Any]:
    """For --json."""
    return {
        bar.name: {"measured": bar.measured, "allowed": bar.allowed, "is_met": bar.is_met}
        for bar in bars
    }
