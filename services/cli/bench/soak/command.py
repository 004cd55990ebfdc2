"""`attune bench soak`: mixed load for minutes, on services of its own with the shipped base."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

import models
from protos.v1 import policy_generator_pb2 as pb
from services.cli.bench.bars import bars_figures, bars_table
from services.cli.bench.command import policy_process
from services.cli.bench.soak.report import calls_table, memory_table, soak_bars, soak_figures
from services.cli.bench.soak.soaking import Soak, SoakPlan, soak
from services.cli.bench.soak.variants import make_variants
from services.cli.bench.weights.service import PolicyService
from services.cli.bench.weights.versions import Built, built
from services.cli.stack.connection import Place, Services, connected
from services.cli.terminal import progress_bar, results, write_json

_NUM_VARIANTS = 6


@dataclass(frozen=True, slots=True)
class SoakBench:
    """What the user asked for."""

    minutes: float
    callers: int
    update_every_s: float
    json: Path | None
    port_base: int

    @property
    def plan(self) -> SoakPlan:
        return SoakPlan(60 * self.minutes, self.callers, self.update_every_s)


def bench_soak(asked: SoakBench) -> None:
    """Prints and writes figures. Ends with exit code 1 where one misses what it is held to."""
    with TemporaryDirectory(prefix="attune-bench-") as folder:
        home = Path(folder)
        base = Path(models.__file__).parent / "base"
        variants = make_variants(base, home / "made", _NUM_VARIANTS)
        with connected(Place(home, asked.port_base)) as services:
            soaked = _soaked(asked, services, variants)
    bars = soak_bars(soaked)
    if str(asked.json) != "-":
        results().print(calls_table(soaked), memory_table(soaked), bars_table(bars), sep="\n\n")
        results().print(
            f"[dim]{soaked.seconds:.0f} s, {asked.callers} callers, {soaked.num_tokens:,} tokens,"
            f" {soaked.num_updates} updates of weights[/]"
        )
    if asked.json:
        write_json(asked.json, soak_figures(soaked) | {"bars": bars_figures(bars)})
    if not all(bar.is_met for bar in bars):
        raise typer.Exit(1)


def _soaked(asked: SoakBench, services: Services, variants: list[Path]) -> Soak:
    state = services.state
    policy = PolicyService(state.home, services.policy, policy_process(state))
    with progress_bar() as bar:
        row = bar.add_task("seconds", total=round(asked.plan.seconds))
        return soak(
            policy,
            state.services,
            _described(services, variants),
            asked.plan,
            lambda elapsed_s: bar.update(row, completed=round(elapsed_s)),
        )


def _described(services: Services, variants: list[Path]) -> list[Built]:
    """With the fingerprint of the base, whose tokenizer they share."""
    base = services.policy.ListVersions(pb.ListVersionsRequest()).versions[0]
    return [built(variant, base.preprocessing_fingerprint) for variant in variants]
