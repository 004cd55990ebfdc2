"""`attune bench weights`: what a publication costs, and whether many can be endured."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import typer
from rich.progress import Progress

from protos.v1 import policy_generator_pb2 as pb
from services.cli.bench.bars import Bar, bars_figures, bars_table
from services.cli.bench.weights.endurance import Endurance, endure
from services.cli.bench.weights.report import (
    endurance_bars,
    endurance_figures,
    endurance_table,
    timing_bars,
    timings_figures,
    timings_table,
)
from services.cli.bench.weights.service import PolicyService, policy_alone
from services.cli.bench.weights.timing import Timings, time_publications
from services.cli.bench.weights.versions import Built, Shape, built, make_checkpoints
from services.cli.terminal import progress_bar, results, write_json


@dataclass(frozen=True, slots=True)
class WeightsBench:
    """What the user asked for. Calls at once: streams, and rollouts that follow the alias."""

    size: str
    dtype: str
    rounds: int
    updates: int
    updates_size: str
    streams: int
    followers: int
    json: Path | None
    port_base: int

    @property
    def calls(self) -> tuple[int, int]:
        return self.streams, self.followers


def bench_weights(asked: WeightsBench) -> None:
    """Prints and writes figures. Ends with exit code 1 where one misses what it is held to."""
    bars: list[Bar] = []
    figures: dict[str, Any] = {"dtype": asked.dtype}
    is_printed = str(asked.json) != "-"
    with progress_bar() as bar:
        if asked.rounds:
            timings = _timed(asked, bar)
            bars += timing_bars(timings)
            figures["publications"] = {"size": asked.size, **timings_figures(timings)}
            if is_printed:
                _print_timings(asked, timings)
        if asked.updates:
            endurance = _endured(asked, bar)
            bars += endurance_bars(endurance)
            figures["updates"] = {"size": asked.updates_size, **endurance_figures(endurance)}
            if is_printed:
                results().print(endurance_table(endurance))
    if is_printed:
        results().print(bars_table(bars))
    if asked.json:
        write_json(asked.json, figures | {"bars": bars_figures(bars)})
    if not all(each.is_met for each in bars):
        raise typer.Exit(1)


def _timed(asked: WeightsBench, bar: Progress) -> Timings:
    with _published(asked, asked.size, 4, bar) as (policy, versions):
        row = bar.add_task("publishing", total=4 * (asked.rounds + 1))
        return time_publications(
            policy,
            versions,
            asked.rounds,
            asked.calls,
            lambda what: bar.update(row, description=what, advance=1),
        )


def _endured(asked: WeightsBench, bar: Progress) -> Endurance:
    with _published(asked, asked.updates_size, 8, bar) as (policy, versions):
        row = bar.add_task("updates", total=asked.updates)
        return endure(policy, versions, asked.updates, asked.calls, lambda: bar.advance(row))


@contextmanager
def _published(
    asked: WeightsBench, size: str, num_versions: int, bar: Progress
) -> Iterator[tuple[PolicyService, list[Built]]]:
    """A policy that serves the first of so many checkpoints, and all of them."""
    with TemporaryDirectory(prefix="attune-bench-") as folder:
        row = bar.add_task(f"making {num_versions} checkpoints", total=1)
        home = Path(folder)
        made = make_checkpoints(home / "made", Shape(size, asked.dtype), num_versions)
        bar.advance(row)
        with policy_alone(home, asked.port_base, made[0]) as policy:
            [base] = policy.stub.ListVersions(pb.ListVersionsRequest()).versions
            yield policy, [built(path, base.preprocessing_fingerprint) for path in made]


def _print_timings(asked: WeightsBench, timings: Timings) -> None:
    gap_ms, p99_ms = (1000 * timings.traffic.gap_s(share) for share in (0.5, 0.99))
    results().print(timings_table(timings))
    results().print(
        f"[dim]{timings.num_bytes / 2**20:.0f} MiB, {asked.dtype}; medians of {asked.rounds} rounds"
        f" in turns, read from the disk; live: prepare to commit; ×: beside the cold copy (no"
        f" fsync) and hash; stall: the engine's, the longest; gap: the longest between two tokens"
        f" of a stream; beside {asked.streams} streams and {asked.followers} rollouts that follow;"
        f" gaps were {gap_ms:.1f} ms (median), {p99_ms:.1f} ms (p99)[/]\n"
    )
