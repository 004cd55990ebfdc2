"""`attune bench media`: what pictures, recordings and clips cost on this machine."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from rich.table import Table

from protos.v1 import media_pb2
from protos.v1.policy_generator_pb2 import ListVersionsRequest
from services.cli.bench.cases import media_cases
from services.cli.bench.latency import Timings, peak_growth_mib, time_first_tokens
from services.cli.errors import UserError
from services.cli.stack.connection import Place, Services, connected
from services.cli.stack.state import UpState
from services.cli.terminal import progress_bar, results, write_json

_AUDIO_SECONDS = (1.0, 5.0, 20.0)
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class BenchRequest:
    """What the user asked for."""

    model: str
    rounds: int
    json: Path | None


def bench_media(asked: BenchRequest, place: Place) -> None:
    """Measures against services that are up, or a set of its own; prints and writes figures."""
    with connected(place) as services, progress_bar() as bar:
        cases = media_cases(_AUDIO_SECONDS, _taken(services, asked.model))
        row = bar.add_task("rounds", total=asked.rounds)
        on_round = partial(bar.advance, row)
        timings = time_first_tokens(services.policy, asked.model, cases, asked.rounds, on_round)
        process = policy_process(services.state)
        growth = {
            case.name: peak_growth_mib(services.policy, process, asked.model, case, _AT_ONCE)
            for case in cases
            if case.make is not None
        }
    if str(asked.json) != "-":
        results().print(_table(timings, growth))
        results().print(
            f"[dim]median of {asked.rounds} rounds, alternated; cached: the same medium again, by"
            f" its hash; memory: growth of the policy while {_AT_ONCE} are answered[/]"
        )
    if asked.json:
        write_json(asked.json, figures(timings, growth))


def _taken(services: Services, alias: str) -> set["media_pb2.Modality.ValueType"]:
    """What the model that an alias names can be asked with."""
    resident = services.policy.ListVersions(ListVersionsRequest()).versions
    named = [version for version in resident if alias in version.aliases]
    if not named:
        raise UserError(f"no resident model is named {alias!r}", "`attune status` says what serves")
    return set(named[0].limits.input_modalities)


def policy_process(state: UpState) -> psutil.Process:
    """The policy service's."""
    process = next(s.process for s in state.services if s.name == "policy").find()
    if process is None:
        raise psutil.NoSuchProcess(0, msg="the policy service has ended")
    return process


def figures(timings: list[Timings], growth_mib: dict[str, float]) -> dict[str, Any]:
    """Per case; times in milliseconds, memory in MiB of eight prompts at once."""
    return {
        timing.case.name: {
            "prompt_tokens": timing.prompt_tokens,
            "first_token_cold_ms": round(timing.cold, 2),
            "first_token_cached_ms": None if timing.cached is None else round(timing.cached, 2),
            "memory_growth_mib": growth_mib.get(timing.case.name),
        }
        for timing in timings
    }


def _table(timings: list[Timings], growth_mib: dict[str, float]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("prompt")
    for title in ("tokens", "first token", "× text", "cached", "memory"):
        table.add_column(title, justify="right")
    text_ms = timings[0].cold
    for timing in timings:
        growth = growth_mib.get(timing.case.name)
        table.add_row(
            timing.case.name,
            str(timing.prompt_tokens),
            f"{timing.cold:.1f} ms",
            f"{timing.cold / text_ms:.1f}",
            "" if timing.cached is None else f"{timing.cached:.1f} ms",
            "" if growth is None else f"{growth:.1f} MiB",
        )
    return table
