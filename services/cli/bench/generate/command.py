"""`attune bench generate`: tokens per second of the engine, beside other systems."""

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from services.cli.bench.generate.cases import CASES, Case
from services.cli.bench.generate.contestant import OURS, Contestant, running
from services.cli.bench.generate.measuring import Model, measure
from services.cli.bench.generate.report import figures_of, table_of
from services.cli.errors import UserError
from services.cli.terminal import progress_bar, results, write_json


@dataclass(frozen=True, slots=True)
class GenerateBench:
    """What the user asked for; `peers` are NAME=COMMAND."""

    size: str
    dtype: str
    peers: tuple[str, ...]
    rounds: int
    threads: int
    json: Path | None


def bench_generate(asked: GenerateBench, cases: Sequence[Case] = CASES) -> None:
    """Makes a random checkpoint, has all contestants load it, and measures in turns."""
    peers = dict(_peer(text) for text in asked.peers)
    with TemporaryDirectory(prefix="attune-bench-") as folder, ExitStack() as stack:
        model = _make_model(Path(folder) / "model", asked)
        contestants = [stack.enter_context(running(OURS))]
        contestants += [stack.enter_context(running(name, peers[name])) for name in peers]
        machine = contestants[0].tell({"do": "roofline", "threads": asked.threads})
        for contestant in contestants:
            _load(contestant, model, asked.threads)
        with progress_bar() as bar:
            total = (asked.rounds + 1) * len(cases) * len(contestants)
            row = bar.add_task("measuring", total=total)
            timings = measure(
                contestants,
                cases,
                model,
                asked.rounds,
                lambda what: bar.update(row, description=what, advance=1),
            )
    if str(asked.json) != "-":
        results().print(table_of(timings, cases, model, machine))
        results().print(
            f"[dim]{model.num_parameters / 1e6:.1f} M parameters, {asked.dtype}; medians of"
            f" {asked.rounds} rounds in turns, {asked.threads} threads; log-probabilities on[/]"
        )
    if asked.json:
        write_json(asked.json, figures_of(timings, cases, model, machine))


def _load(contestant: Contestant, model: Model, threads: int) -> None:
    order = {"do": "load", "folder": str(model.folder), "dtype": model.dtype, "threads": threads}
    contestant.tell(order)


def _make_model(folder: Path, asked: GenerateBench) -> Model:
    """In a process of its own: the command line carries no torch."""
    command = [sys.executable, "-m", "services.policy.bench.random_llama"]
    made = subprocess.run(
        [*command, str(folder), asked.size, asked.dtype],
        capture_output=True,
        text=True,
        timeout=600,
    )
    if made.returncode:
        raise UserError("the checkpoint could not be made", made.stderr.strip()[-500:])
    described = json.loads(made.stdout)
    return Model(folder=folder, dtype=asked.dtype, **described)


def _peer(text: str) -> tuple[str, str]:
    name, is_given, command = text.partition("=")
    if not is_given or not name or name == OURS:
        raise UserError(f"--peer {text!r} is not NAME=COMMAND", "see tests/bench/peers/README.md")
    return name, command
