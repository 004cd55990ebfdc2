"""Tables and figures of `attune bench weights`."""

from statistics import median
from typing import Any

from rich.table import Table

from services.cli.bench.bars import Bar
from services.cli.bench.traffic import Traffic
from services.cli.bench.weights.endurance import Endurance
from services.cli.bench.weights.publishing import Publication, Route
from services.cli.bench.weights.timing import Timings

_MAX_RATIO = 1.5
_MAX_GROWTH = 0.03
_PUBLICATION_FIGURES = ("put_s", "prepare_s", "commit_s", "live_s", "first_token_s", "stall_s")


def timings_table(timings: Timings) -> Table:
    """A row per route, beside the reference."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("published by")
    for title in ("put", "prepare", "commit", "live", "×", "first token", "stall", "gap"):
        table.add_column(title, justify="right")
    for route, each in timings.publications.items():
        table.add_row(
            route,
            "" if route is not Route.STORE else _seconds(each, "put_s"),
            *(_seconds(each, name) for name in ("prepare_s", "commit_s", "live_s")),
            f"{timings.ratio(route):.2f}",
            _seconds(each, "first_token_s"),
            f"{1000 * max(p.stall_s for p in each):.2f} ms",
            f"{1000 * timings.longest_gap_s(route):.0f} ms",
        )
    gap_ms = 1000 * max(timings.reference_gaps_s)
    reference = f"{median(timings.reference_s):.3f} s"
    table.add_row("cold copy and hash", "", "", "", reference, "1", "", "", f"{gap_ms:.0f} ms")
    return table


def endurance_table(endurance: Endurance) -> Table:
    """Updates, calls and memory."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    memory, traffic = endurance.memory, endurance.traffic
    for title in ("updates", "seconds", "calls", "failed", "unanswered", "memory by thirds"):
        table.add_column(title, justify="right")
    table.add_row(
        str(endurance.num_updates),
        f"{endurance.seconds:.0f}",
        str(traffic.num_begun),
        str(traffic.num_failed),
        str(traffic.num_unanswered),
        f"{memory.first:.0f}, {memory.middle:.0f}, {memory.last:.0f} MiB",
    )
    return table


def timing_bars(timings: Timings) -> list[Bar]:
    """What the timed publications are held to."""
    step_ms = 1000 * timings.traffic.gap_s(0.5)
    longest_ms = 1000 * max(timings.stalls_s)
    return [
        Bar("shared folder beside a copy and a hash", timings.ratio(Route.FOLDER), _MAX_RATIO, "×"),
        Bar("engine's stall beside a median gap", longest_ms, step_ms, " ms"),
        _lost_bar("publications", timings.traffic),
    ]


def endurance_bars(endurance: Endurance) -> list[Bar]:
    """What the many are held to."""
    growth = 100 * endurance.memory.growth
    return [
        Bar("memory of the last third above the middle", growth, 100 * _MAX_GROWTH, " %"),
        _lost_bar("updates", endurance.traffic),
    ]


def timings_figures(timings: Timings) -> dict[str, Any]:
    """For --json; seconds, and a list where there is one per round."""
    routes = {
        route.name.lower(): {
            "live_ratio": timings.ratio(route),
            "longest_gap_s": timings.longest_gap_s(route),
            **{name: [getattr(p, name) for p in each] for name in _PUBLICATION_FIGURES},
        }
        for route, each in timings.publications.items()
    }
    return {
        "bytes": timings.num_bytes,
        "reference_s": timings.reference_s,
        "reference_gaps_s": timings.reference_gaps_s,
        "gap_median_s": timings.traffic.gap_s(0.5),
        "gap_p99_s": timings.traffic.gap_s(0.99),
        "routes": routes,
        "calls": timings.traffic.figures,
    }


def endurance_figures(endurance: Endurance) -> dict[str, Any]:
    """For --json."""
    memory = endurance.memory
    return {
        "updates": endurance.num_updates,
        "seconds": endurance.seconds,
        "stall_max_s": max(endurance.stalls_s),
        "memory_mib": {"first": memory.first, "middle": memory.middle, "last": memory.last},
        "memory_growth": memory.growth,
        "calls": endurance.traffic.figures,
    }


def _lost_bar(what: str, traffic: Traffic) -> Bar:
    return Bar(f"calls lost beside {what}", traffic.num_lost, 0)


def _seconds(publications: list[Publication], name: str) -> str:
    return f"{median(getattr(publication, name) for publication in publications):.3f} s"
