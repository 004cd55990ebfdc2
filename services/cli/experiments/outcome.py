"""What an experiment on task files came to: tables, figures, and where its picture is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from services.cli.evaluation.report import (
    card_figures,
    gain_figures,
    gain_text,
    interval_text,
    unscored_lines,
)
from services.cli.evaluation.scorecard import Scorecard, difference, mean_difference
from services.cli.experiments.improvement import GREEDY, SAMPLED, PartOutcome, joined
from services.cli.experiments.settings import TaskSettings
from services.cli.experiments.stages import Story
from services.cli.terminal import results


@dataclass(frozen=True, slots=True)
class Bound:
    """What a family's figures stand beside: a floor, or a ceiling."""

    name: str
    family: str
    value: float


@dataclass(frozen=True)
class TaskOutcome:
    """`controls` are parts that were trained alike on less, by what they were left with."""

    title: str
    settings: TaskSettings
    story: Story
    parts: tuple[PartOutcome, ...]
    picture: Path
    bounds: tuple[Bound, ...] = ()
    controls: Mapping[str, tuple[PartOutcome, ...]] = field(default_factory=dict)


def print_outcome(outcome: TaskOutcome) -> None:
    """Every figure with its interval, what it stands beside, and the stages."""
    out = results()
    out.print(f"\n[bold]{outcome.title}[/]  [dim]held out, 95 % intervals, gains paired by item[/]")
    for how in (SAMPLED, GREEDY):
        _print_cards(joined(outcome.parts, how), how)
        for name, parts in outcome.controls.items():
            _print_cards(joined(parts, how), f"{how}, {name}")
    if outcome.bounds:
        out.print()
        out.print(_bounds_table(outcome.bounds))
    _print_reward(outcome)
    out.print("\n[bold]Stages[/]")
    out.print(outcome.story.table())
    out.print(f"examples: {outcome.picture}", soft_wrap=True)


def outcome_figures(outcome: TaskOutcome) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "settings": outcome.settings.model_dump(mode="json"),
        "rl_reward": _reward_name(outcome),
        "scores": _scores(outcome.parts),
        "controls": {name: _scores(parts) for name, parts in outcome.controls.items()},
        "bounds": [
            {"name": b.name, "family": b.family, "value": round(b.value, 5)} for b in outcome.bounds
        ],
        "reward_models": {
            p.part.name: p.reward_check.figures() for p in outcome.parts if p.reward_check
        },
        "stages": outcome.story.figures(),
        "total_s": round(outcome.story.total_s, 1),
        "picture": str(outcome.picture),
    }


def _scores(parts: Sequence[PartOutcome]) -> dict[str, Any]:
    figures = {}
    for how in (SAMPLED, GREEDY):
        start, improved = joined(parts, how)
        figures[how] = {
            "start": card_figures(start),
            "RL": card_figures(improved),
            "gain": gain_figures(start, improved),
        }
    return figures


def _print_cards(cards: tuple[Scorecard, Scorecard], title: str) -> None:
    out = results()
    out.print()
    out.print(_table(cards, title))
    for line in unscored_lines(cards):
        out.print(line, style="yellow", markup=False)


def _table(cards: tuple[Scorecard, Scorecard], title: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(title)
    for column in ("after the start", "after RL", "gain"):
        table.add_column(column, justify="right")
    for family in cards[0].scored:
        estimates = (interval_text(card.estimate(family)) for card in cards)
        table.add_row(family, *estimates, gain_text(difference(*cards, family)))
    table.add_section()
    means = (interval_text(card.mean()) for card in cards)
    table.add_row("mean", *means, gain_text(mean_difference(*cards)), style="bold")
    return table


def _bounds_table(bounds: Sequence[Bound]) -> Table:
    families = list(dict.fromkeys(b.family for b in bounds))
    values = {(b.name, b.family): f"{b.value:.3f}" for b in bounds}
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("beside them")
    for family in families:
        table.add_column(family, justify="right")
    for name in dict.fromkeys(b.name for b in bounds):
        table.add_row(name, *(values.get((name, family), "–") for family in families))
    return table


def _print_reward(outcome: TaskOutcome) -> None:
    out = results()
    out.print(f"\nRL ran against {_reward_name(outcome)}", soft_wrap=True)
    for part in outcome.parts:
        if part.reward_check:
            accuracy = interval_text(part.reward_check.accuracy)
            ceiling = interval_text(part.reward_check.ceiling)
            out.print(f"{part.part.name}: held-out pairs {accuracy}, of at most {ceiling}")


def _reward_name(outcome: TaskOutcome) -> str:
    if outcome.settings.reward == "judgements":
        return "reward models of pairs that SIMULATED raters judged: programs, not people"
    return ", ".join(dict.fromkeys(p.part.scorer for p in outcome.parts))
