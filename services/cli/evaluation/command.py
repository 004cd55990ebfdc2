"""`attune eval`: one or more policies on the same held-out items."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from services.cli.evaluation.report import (
    card_figures,
    gain_figures,
    gain_table,
    score_table,
    unscored_lines,
)
from services.cli.evaluation.sampling import SamplingChoice
from services.cli.evaluation.scorecard import Scorecard, evaluate
from services.cli.evaluation.tasks import EvaluationTask, recipe_task, world_task
from services.cli.stack.connection import Place, Services, connected
from services.cli.terminal import messages, progress_bar, results, write_json
from services.common.world.sampling import DEFAULT_LEVEL


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """What the user asked for."""

    models: tuple[str, ...]
    families: tuple[str, ...]
    items: int
    level: int | None  # None is the world's default
    seed: int
    temperature: float
    task: str | None
    json: Path | None


def evaluation_command(asked: EvaluationRequest, place: Place) -> None:
    """Evaluates, prints the table and writes the figures."""
    with messages().status("drawing items"):
        task = _task(asked)
    with connected(place) as services:
        cards = evaluate_all(services, asked.models, task, _sampling(asked))
    if str(asked.json) != "-":
        print_scores(cards)
    if asked.json:
        write_json(asked.json, _figures(asked, cards))


def evaluate_all(
    services: Services, models: tuple[str, ...], task: EvaluationTask, choice: SamplingChoice
) -> list[Scorecard]:
    """A scorecard of each model on the same items and random streams, with a bar."""
    cards = []
    with progress_bar() as bar:
        for model in models:
            row = bar.add_task(f"eval {model}", total=len(task.items))
            on_done = partial(bar.advance, row)
            cards.append(evaluate(services, model, task, choice, on_done))
    return cards


def print_scores(cards: list[Scorecard]) -> None:
    """The table, what is not in it, and how fast it went."""
    out = results()
    out.print(score_table(cards))
    if len(cards) > 1:
        out.print()
        out.print(gain_table(cards))
    for line in unscored_lines(cards):
        out.print(line, style="yellow", markup=False)
    num_items = sum(card.num_items for card in cards)
    took_s = sum(card.took_s for card in cards)
    rate = f"{num_items / took_s:.1f} items/s"
    out.print(f"[dim]{num_items} items in {took_s:.1f} s ({rate}); 95 % bootstrap intervals[/]")


def _task(asked: EvaluationRequest) -> EvaluationTask:
    if asked.task is not None:
        return recipe_task(asked.task, asked.items)
    return world_task(asked.families, asked.items, _level(asked), asked.seed)


def _level(asked: EvaluationRequest) -> int:
    return DEFAULT_LEVEL if asked.level is None else asked.level


def _sampling(asked: EvaluationRequest) -> SamplingChoice:
    return SamplingChoice(temperature=asked.temperature, seed=asked.seed)


def _figures(asked: EvaluationRequest, cards: list[Scorecard]) -> dict[str, Any]:
    return {
        "task": asked.task or "world",
        "level": None if asked.task else _level(asked),
        "seed": asked.seed,
        "temperature": asked.temperature,
        "models": [card_figures(card) for card in cards],
        "gains": {card.model: gain_figures(cards[0], card) for card in cards[1:]},
    }
