"""Scorecards beside each other: a table for people, figures for programs."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from services.cli.evaluation.intervals import Estimate
from services.cli.evaluation.scorecard import Scorecard, difference, mean_difference


def score_table(cards: Sequence[Scorecard], names: Sequence[str] | None = None) -> Table:
    """A row per family and one for the mean, a column per policy."""
    table = _table(names or [card.model for card in cards])
    for family in cards[0].scored:
        table.add_row(family, *(interval_text(card.estimate(family)) for card in cards))
    table.add_section()
    table.add_row("mean", *(interval_text(card.mean()) for card in cards), style="bold")
    return table


def gain_table(cards: Sequence[Scorecard], names: Sequence[str] | None = None) -> Table:
    """The same rows, with what each further policy gains over the first, item by item."""
    first, *others = cards
    titles = list(names or (card.model for card in cards))
    table = _table([f"{title} − {titles[0]}" for title in titles[1:]])
    for family in first.scored:
        table.add_row(family, *(gain_text(difference(first, card, family)) for card in others))
    table.add_section()
    table.add_row("mean", *(gain_text(mean_difference(first, card)) for card in others))
    return table


def unscored_lines(cards: Sequence[Scorecard]) -> list[str]:
    """What was left out of the means, and why; empty where all was scored."""
    lines = []
    for card in cards:
        for what, count in sorted(card.unscored().items()):
            lines.append(f"{card.model}: {count} not scored ({what}): {card.first_error()}")
    return lines


def card_figures(card: Scorecard) -> dict[str, Any]:
    """One scorecard as JSON."""
    return {
        "model": card.model,
        "policy_version": card.policy_version,
        "families": {
            family: {**estimate_figures(card.estimate(family)), "strict": card.strict(family)}
            for family in card.scored
        },
        "mean": estimate_figures(card.mean()),
        "not_scored": dict(card.unscored()),
        "items": card.num_items,
        "took_s": round(card.took_s, 3),
        "items_per_s": round(card.num_items / card.took_s, 2),
    }


def gain_figures(first: Scorecard, second: Scorecard) -> dict[str, Any]:
    """The gain of the second over the first, paired by item, as JSON."""
    return {
        "families": {
            family: estimate_figures(difference(first, second, family)) for family in first.scored
        },
        "mean": estimate_figures(mean_difference(first, second)),
    }


def estimate_figures(estimate: Estimate | None) -> dict[str, Any]:
    """An estimate as JSON; None where nothing was scored."""
    if estimate is None:
        return {"mean": None, "low": None, "high": None, "scored": 0}
    return {
        "mean": round(estimate.mean, 5),
        "low": round(estimate.low, 5),
        "high": round(estimate.high, 5),
        "scored": estimate.count,
    }


def interval_text(estimate: Estimate | None) -> str:
    """ "0.512 [0.480, 0.544]", or a dash."""
    if estimate is None:
        return "–"
    return f"{estimate.mean:.3f} [dim]\\[{estimate.low:.3f}, {estimate.high:.3f}][/]"


def gain_text(estimate: Estimate | None) -> str:
    """ "+0.051 [+0.020, +0.080]", coloured where zero lies outside."""
    if estimate is None:
        return "–"
    color = "green" if estimate.low > 0 else "red" if estimate.high < 0 else "default"
    interval = f"[dim]\\[{estimate.low:+.3f}, {estimate.high:+.3f}][/]"
    return f"[{color}]{estimate.mean:+.3f}[/] {interval}"


def _table(titles: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("family")
    for title in titles:
        table.add_column(title, justify="right")
    return table
