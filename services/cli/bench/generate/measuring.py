"""Rounds in which contestants take turns, their medians, and how far the machine could go."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from services.cli.bench.generate.cases import Case
from services.cli.bench.generate.contestant import Contestant


@dataclass(frozen=True, slots=True)
class Model:
    """The checkpoint that all run."""

    folder: Path
    dtype: str
    num_parameters: int
    num_looked_up: int  # of the embeddings, of which a token reads one row
    vocab_size: int

    @property
    def num_multiplied(self) -> int:
        return self.num_parameters - self.num_looked_up


@dataclass(slots=True)
class Timings:
    """Of one contestant in one case: seconds by round, and of all first tokens."""

    num_tokens: int = 0
    seconds: list[float] = field(default_factory=list)
    first_token_s: list[float] = field(default_factory=list)

    @property
    def tokens_per_s(self) -> float:
        return self.num_tokens / median(self.seconds)

    @property
    def first_token_p99_s(self) -> float | None:
        """None where the contestant does not say."""
        ordered = sorted(self.first_token_s)
        return ordered[max(0, round(0.99 * len(ordered)) - 1)] if ordered else None


Results = dict[tuple[str, str], Timings]  # by contestant and case


def measure(
    contestants: Sequence[Contestant],
    cases: Sequence[Case],
    model: Model,
    rounds: int,
    on_step: Callable[[str], None],
) -> Results:
    """All cases in each round, contestants one after the other; a first round is not counted."""
    results: Results = {}
    for number in range(rounds + 1):
        for case in cases:
            for contestant in contestants:
                on_step(f"{contestant.name}, {case.name}")
                result = contestant.tell(case.order(model.vocab_size, seed=number))
                if number == 0:
                    continue
                timings = results.setdefault((contestant.name, case.name), Timings())
                timings.num_tokens = result["tokens"]
                timings.seconds.append(result["seconds"])
                timings.first_token_s += result.get("first_token_s") or []
    return results


def roofline_tokens_per_s(case: Case, model: Model, machine: dict[str, Any]) -> float:
    """The lower of two bounds: each step reads all weights once, and multiplies with them once
    per answer. Attention and caches come on top, and are not counted."""
    weight_bytes = model.num_multiplied * (2 if model.dtype == "bfloat16" else 4)
    steps_per_s = machine["read_gb_per_s"] * 1e9 / weight_bytes
    products_per_s = machine[f"{model.dtype}_gflop_per_s"] * 1e9 / (2 * model.num_multiplied)
    return float(min(steps_per_s * case.num_rows, products_per_s))
