"""`attune bench generate` and `attune bench images`: tokens per second, beside other systems."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from services.cli.bench.generate.cases import ANSWERS, PICTURES, Case
from services.cli.bench.generate.checkpoint import Model, make_model
from services.cli.bench.generate.contestant import (
    OURS,
    OURS_SERVED,
    Contestant,
    own_command,
    running,
)
from services.cli.bench.generate.measuring import Results, measure
from services.cli.bench.generate.report import (
    Figures,
    figures_of,
    first_tokens_table,
    likelihoods_line,
    rates_table,
    served_line,
)
from services.cli.bench.random_checkpoint import Family
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
    through_grpc: bool = False


def bench_generate(asked: GenerateBench, cases: Sequence[Case] = ANSWERS) -> None:
    """Makes a random checkpoint, has all contestants load it, and measures in turns."""
    _bench(asked, "llama", cases)


def bench_images(asked: GenerateBench, cases: Sequence[Case] = PICTURES) -> None:
    """The same with pictures under guidance."""
    _bench(asked, "janus", cases)


def _bench(asked: GenerateBench, family: Family, cases: Sequence[Case]) -> None:
    commands = {OURS: own_command("contestant")}
    if asked.through_grpc:
        commands[OURS_SERVED] = own_command("served")
    commands |= dict(_peer(text) for text in asked.peers)
    with TemporaryDirectory(prefix="attune-bench-") as folder, ExitStack() as stack:
        model = make_model(Path(folder) / "model", family, asked.size, asked.dtype)
        started = [stack.enter_context(running(*named)) for named in commands.items()]
        machine = started[0].tell({"do": "roofline", "threads": asked.threads})
        contestants = [each for each in started if _loads(each, model, asked.threads)]
        timings = _measured(contestants, cases, model, asked.rounds)
    figures = figures_of(timings, cases, model, machine)
    if str(asked.json) != "-":
        _print(figures, asked)
    if asked.json:
        write_json(asked.json, figures)


def _loads(contestant: Contestant, model: Model, threads: int) -> bool:
    """False, with a line that says why, for a system that cannot run such a model."""
    order = {"do": "load", "folder": str(model.folder), "dtype": model.dtype, "threads": threads}
    absent = contestant.tell(order).get("absent")
    if absent:
        results().print(f"{contestant.name} is absent: {absent}", markup=False)
    return absent is None


def _measured(
    contestants: Sequence[Contestant], cases: Sequence[Case], model: Model, rounds: int
) -> Results:
    with progress_bar() as bar:
        row = bar.add_task("measuring", total=(rounds + 1) * len(cases) * len(contestants))
        return measure(
            contestants,
            cases,
            model,
            rounds,
            lambda what: bar.update(row, description=what, advance=1),
        )


def _print(figures: Figures, asked: GenerateBench) -> None:
    results().print(rates_table(figures))
    results().print(first_tokens_table(figures))
    lines = [
        f"{figures['parameters'] / 1e6:.1f} M parameters, {asked.dtype}; medians of"
        f" {asked.rounds} rounds in turns, {asked.threads} threads",
        likelihoods_line(figures),
        served_line(figures),
    ]
    for line in lines:
        if line is not None:
            results().print(f"[dim]{line}[/]")


def _peer(text: str) -> tuple[str, str]:
    name, is_given, command = text.partition("=")
    if not is_given or not name or name in (OURS, OURS_SERVED):
        raise UserError(f"--peer {text!r} is not NAME=COMMAND", "see tests/bench/peers/README.md")
    return name, command
