"""Tables and figures of `attune bench generate` and `attune bench images`."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from services.cli.bench.generate.cases import Answers, Case
from services.cli.bench.generate.checkpoint import Model
from services.cli.bench.generate.contestant import OURS, OURS_SERVED
from services.cli.bench.generate.measuring import Results, Timings, roofline_tokens_per_s

Figures = dict[str, Any]


def figures_of(
    results: Results, cases: Sequence[Case], model: Model, machine: dict[str, Any]
) -> Figures:
    """What --json writes, and what the tables show."""
    return {
        "parameters": model.num_parameters,
        "dtype": model.dtype,
        "machine": machine,
        "cases": {case.name: _case_figures(results, case, model, machine) for case in cases},
    }


def rates_table(figures: Figures) -> Table:
    """A row per case; × is ours over the best of the others."""
    rows: Figures = figures["cases"]
    names = _names(figures)
    has_roofline = any("of_roofline" in row for row in rows.values())
    bounds = ("roofline", "of it") if has_roofline else ()
    table = _table("tokens/s", (*names, "×", *bounds))
    for case, row in rows.items():
        cells = [f"{row['tokens_per_s'][name]:,.0f}" for name in names]
        cells.append("" if row["ratio"] is None else f"{row['ratio']:.2f}")
        if "of_roofline" in row:
            cells += [f"{row['roofline_tokens_per_s']:,.0f}", f"{row['of_roofline']:.0%}"]
        table.add_row(case, *cells)
    return table


def first_tokens_table(figures: Figures) -> Table:
    """The 99th percentile of those who tell when a first token came."""
    rows: Figures = figures["cases"]
    p99_of = {case: row["first_token_p99_ms"] for case, row in rows.items()}
    names = [n for n in _names(figures) if all(p99[n] is not None for p99 in p99_of.values())]
    table = _table("first token, p99", names)
    for case, p99_ms in p99_of.items():
        table.add_row(case, *(f"{p99_ms[name]:.1f} ms" for name in names))
    return table


def likelihoods_line(figures: Figures) -> str:
    """Whether all sampled from the same distribution."""
    rows = list(figures["cases"].values())
    means = {n: sum(r["mean_logprob"][n] for r in rows) / len(rows) for n in _names(figures)}
    listed = " · ".join(f"{name} {mean:.3f}" for name, mean in means.items())
    return f"mean log-probability of a token: {listed}"


def served_line(figures: Figures) -> str | None:
    """Our service over gRPC beside the engine in it; None where it did not run."""
    ratios = {case: row["served_ratio"] for case, row in figures["cases"].items()}
    if None in ratios.values():
        return None
    listed = " · ".join(f"{case} {ratio:.0%}" for case, ratio in ratios.items())
    return f"through gRPC, of the engine by itself: {listed}"


def _names(figures: Figures) -> list[str]:
    return list(next(iter(figures["cases"].values()))["tokens_per_s"])


def _table(first: str, titles: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(first)
    for title in titles:
        table.add_column(title, justify="right")
    return table


def _case_figures(results: Results, case: Case, model: Model, machine: dict[str, Any]) -> Figures:
    timings = {name: each for (name, of), each in results.items() if of == case.name}
    rates = {name: each.tokens_per_s for name, each in timings.items()}
    others = [rate for name, rate in rates.items() if name not in (OURS, OURS_SERVED)]
    served = rates.get(OURS_SERVED)
    figures: Figures = {
        "tokens_per_s": rates,
        "seconds": {name: each.seconds for name, each in timings.items()},
        "mean_logprob": {name: each.mean_logprob for name, each in timings.items()},
        "first_token_p99_ms": {name: _p99_ms(each) for name, each in timings.items()},
        "ratio": rates[OURS] / max(others) if others else None,
        "served_ratio": None if served is None else served / rates[OURS],
    }
    if isinstance(case, Answers):
        bound = roofline_tokens_per_s(case, model, machine)
        figures |= {"roofline_tokens_per_s": bound, "of_roofline": rates[OURS] / bound}
    return figures


def _p99_ms(timings: Timings) -> float | None:
    p99_s = timings.first_token_p99_s
    return None if p99_s is None else 1000 * p99_s
