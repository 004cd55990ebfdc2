"""Tables and figures of `attune bench generate`."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from services.cli.bench.generate.cases import Case
from services.cli.bench.generate.contestant import OURS
from services.cli.bench.generate.measuring import Model, Results, roofline_tokens_per_s


def table_of(
    results: Results, cases: Sequence[Case], model: Model, machine: dict[str, Any]
) -> Table:
    """A row per case; × is ours over the best of the others."""
    names = list(dict.fromkeys(name for name, _ in results))
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("tokens/s")
    for name in (*names, "×", "roofline", "of it", "first token p99"):
        table.add_column(name, justify="right")
    for case in cases:
        figures = _case_figures(results, case, model, machine)
        others = figures["ratio"]
        first = figures["first_token_p99_ms"].get(OURS)
        table.add_row(
            case.name,
            *(f"{figures['tokens_per_s'][name]:,.0f}" for name in names),
            "" if others is None else f"{others:.2f}",
            f"{figures['roofline_tokens_per_s']:,.0f}",
            f"{figures['of_roofline']:.0%}",
            "" if first is None else f"{first:.1f} ms",
        )
    return table


def figures_of(
    results: Results, cases: Sequence[Case], model: Model, machine: dict[str, Any]
) -> dict[str, Any]:
    """For --json."""
    return {
        "parameters": model.num_parameters,
        "dtype": model.dtype,
        "machine": machine,
        "cases": {case.name: _case_figures(results, case, model, machine) for case in cases},
    }


def _case_figures(
    results: Results, case: Case, model: Model, machine: dict[str, Any]
) -> dict[str, Any]:
    timings = {name: each for (name, of), each in results.items() if of == case.name}
    rates = {name: each.tokens_per_s for name, each in timings.items()}
    best_other = max((rate for name, rate in rates.items() if name != OURS), default=None)
    first = {name: each.first_token_p99_s for name, each in timings.items()}
    bound = roofline_tokens_per_s(case, model, machine)
    return {
        "tokens_per_s": rates,
        "seconds": {name: each.seconds for name, each in timings.items()},
        "first_token_p99_ms": {n: None if s is None else 1000 * s for n, s in first.items()},
        "ratio": None if best_other is None else rates[OURS] / best_other,
        "roofline_tokens_per_s": bound,
        "of_roofline": rates[OURS] / bound,
    }
