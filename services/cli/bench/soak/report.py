"""Tables and figures of `attune bench soak`."""

from typing import Any

from rich.table import Table

from services.cli.bench.bars import Bar
from services.cli.bench.soak.soaking import Soak

_MAX_GROWTH = 0.03


def soak_bars(soak: Soak) -> list[Bar]:
    """What it is held to."""
    growth = 100 * soak.memory("policy").growth
    held = [Bar(f"{name} after the drain", value, 0) for name, value in soak.held.items()]
    return [
        Bar("policy's memory, last third above the middle", growth, 100 * _MAX_GROWTH, " %"),
        *held,
        Bar("engine steps and checks that failed", soak.num_step_errors, 0),
        Bar("calls that failed", soak.traffic.num_failed, 0),
        Bar("calls unanswered", soak.traffic.num_unanswered, 0),
    ]


def calls_table(soak: Soak) -> Table:
    """How many of each kind were answered, and what went wrong."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("asked")
    table.add_column("calls", justify="right")
    for kind, count in sorted(soak.traffic.answered.items()):
        table.add_row(kind, f"{count:,}")
    table.add_row("cancelled", f"{soak.traffic.num_cancelled:,}")
    for failure, count in soak.traffic.failures.most_common(5):
        table.add_row(f"[red]{failure}[/]", f"{count:,}")
    return table


def memory_table(soak: Soak) -> Table:
    """Mean MiB by thirds, of each service with its children."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("memory, MiB")
    for title in ("first third", "middle", "last", "growth"):
        table.add_column(title, justify="right")
    for name in sorted(soak.resident_bytes):
        thirds = soak.memory(name)
        parts = (f"{part:,.0f}" for part in (thirds.first, thirds.middle, thirds.last))
        table.add_row(name, *parts, f"{thirds.growth:+.1%}")
    return table


def soak_figures(soak: Soak) -> dict[str, Any]:
    """For --json."""
    memory = {name: soak.memory(name) for name in soak.resident_bytes}
    return {
        "seconds": soak.seconds,
        "updates": soak.num_updates,
        "tokens": soak.num_tokens,
        "calls": soak.traffic.figures,
        "held_after_drain": soak.held,
        "step_errors": soak.num_step_errors,
        "memory_mib": {
            name: {"first": each.first, "middle": each.middle, "last": each.last}
            for name, each in memory.items()
        },
    }
