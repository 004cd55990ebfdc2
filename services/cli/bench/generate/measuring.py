"""Rounds in which contestants take turns, their medians, and how far the machine could go."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

from services.cli.bench.generate.cases import Answers, Case
from services.cli.bench.generate.checkpoint import Model
from services.cli.bench.generate.contestant import Contestant
from services.cli.bench.quantile import quantile
from services.cli.errors import UserError


@dataclass(slots=True)
class Timings:
    """Of one contestant in one case: by round, and of all first tokens."""

    num_tokens: int = 0
    seconds: list[float] = field(default_factory=list)
    mean_logprobs: list[float] = field(default_factory=list)
    first_token_s: list[float] = field(default_factory=list)

    @property
    def tokens_per_s(self) -> float:
        return self.num_tokens / median(self.seconds)

    @property
    def mean_logprob(self) -> float:
        """Of sampled tokens: alike for all who sample from the same distribution."""
        return fmean(self.mean_logprobs)

    @property
    def first_token_p99_s(self) -> float | None:
        """None where the contestant does not say."""
        return quantile(self.first_token_s, 0.99) if self.first_token_s else None


Results = dict[tuple[str, str], Timings]  # by contestant and case


def measure(
    contestants: Sequence[Contestant],
    cases: Sequence[Case],
    model: Model,
    rounds: int,
    on_step: Callable[[str], None],
) -> Results:
    """All cases in each round, contestants one after the other; a first round is not counted.

    Raises UserError where a contestant writes less, or more, than was asked.
    """
    results: Results = {}
    for number in range(rounds + 1):
        for case in cases:
            for contestant in contestants:
                on_step(f"{contestant.name}, {case.name}")
                result = contestant.tell(case.order(model, seed=number))
                _check(contestant, case, model, result)
                if number == 0:
                    continue
                timings = results.setdefault((contestant.name, case.name), Timings())
                timings.num_tokens = result["tokens"]
                timings.seconds.append(result["seconds"])
                timings.mean_logprobs.append(result["mean_logprob"])
                timings.first_token_s += result.get("first_token_s") or []
    return results


def _check(contestant: Contestant, case: Case, model: Model, result: dict[str, Any]) -> None:
    wanted, written = case.num_tokens(model), result["tokens"]
    if written != wanted:
        raise UserError(
            f"{contestant.name} wrote {written} tokens for {case.name!r}; {wanted} were asked for",
            "its figures would not be of the same work",
        )


def roofline_tokens_per_s(case: Answers, model: Model, machine: dict[str, Any]) -> float:
    """The lower of two bounds: each step reads all weights once, and multiplies with them once
    per answer. Attention and caches come on top, and are not counted."""
    weight_bytes = model.num_multiplied * (2 if model.dtype == "bfloat16" else 4)
    steps_per_s = machine["read_gb_per_s"] * 1e9 / weight_bytes
    products_per_s = machine[f"{model.dtype}_gflop_per_s"] * 1e9 / (2 * model.num_multiplied)
    return float(min(steps_per_s * case.num_rows, products_per_s))
