"""`python -m tests.bench.peers.tables FILE…`: what --json wrote, for docs/benchmarks.md."""

import json
import sys
from pathlib import Path
from typing import Any

_SERVED = "attune, gRPC"


def main() -> None:
    for path in sys.argv[1:]:
        figures = json.loads(Path(path).read_text())
        million = figures["parameters"] / 1e6
        print(f"\n{million:.1f} M parameters, {figures['dtype']}; tokens per second\n")
        _print_table(figures["cases"])


def _print_table(cases: dict[str, Any]) -> None:
    names = list(next(iter(cases.values()))["tokens_per_s"])
    has_roofline = "of_roofline" in next(iter(cases.values()))
    titles = ["", *names, "× the best other", *(["of the roofline"] if has_roofline else [])]
    print("| " + " | ".join(titles) + " |\n" + "|---" * len(titles) + "|")
    for case, row in cases.items():
        cells = [case, *(_rate_cell(row, name) for name in names)]
        cells.append("" if row["ratio"] is None else f"{row['ratio']:.2f}")
        cells += [f"{row['of_roofline']:.0%}"] if has_roofline else []
        print("| " + " | ".join(cells) + " |")
    for case, row in cases.items():
        told = {n: ms for n, ms in row["first_token_p99_ms"].items() if ms is not None}
        print(
            f"first token p99, {case}: " + ", ".join(f"{n} {ms:.1f} ms" for n, ms in told.items())
        )


def _rate_cell(row: dict[str, Any], name: str) -> str:
    """The service also as a share of the engine in it."""
    share = f" ({row['served_ratio']:.0%})" if name == _SERVED else ""
    return f"{row['tokens_per_s'][name]:,.0f}{share}"


if __name__ == "__main__":
    main()
