"""The figures beside their floors, whatever they are."""

from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from services.cli.evaluation.report import (
    card_figures,
    estimate_figures,
    interval_text,
    unscored_lines,
)
from services.cli.evaluation.scorecard import Scorecard
from services.cli.experiments.nlvr.floors import Floors
from services.cli.experiments.nlvr.reward_check import RewardAgreement
from services.cli.experiments.nlvr.settings import NlvrSettings
from services.cli.experiments.stages import Story
from services.cli.terminal import results

_NAMES = ("base", "after the supervised start", "after RL")


@dataclass(frozen=True)
class NlvrOutcome:
    """All that it came to; cards are sampled and greedy, of base, start and RL."""

    settings: NlvrSettings
    story: Story
    floors: Floors
    agreement: RewardAgreement
    cards: dict[str, list[Scorecard]]


def print_outcome(outcome: NlvrOutcome) -> None:
    """Two tables and what was left out."""
    out = results()
    out.print("\n[bold]Held-out answers that agree with the label[/]  [dim]NLVR, real votes[/]")
    out.print(_table(outcome))
    for cards in outcome.cards.values():
        for line in unscored_lines(cards):
            out.print(line, style="yellow", markup=False)
    out.print(f"the reward model's order agrees with the votes: {_votes_text(outcome)}")
    out.print("\n[bold]Stages[/]")
    out.print(outcome.story.table())


def outcome_figures(outcome: NlvrOutcome) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "settings": outcome.settings.model_dump(mode="json"),
        "floors": {name: round(value, 4) for name, value in asdict(outcome.floors).items()},
        "reward_model": {
            "with_label": estimate_figures(outcome.agreement.with_label),
            "with_votes": estimate_figures(outcome.agreement.with_votes),
        },
        "scores": {
            how: dict(zip(_NAMES, map(card_figures, cards), strict=True))
            for how, cards in outcome.cards.items()
        },
        "stages": outcome.story.figures(),
        "total_s": round(outcome.story.total_s, 1),
    }


def _table(outcome: NlvrOutcome) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("who answers")
    table.add_column("sampled", justify="right")
    table.add_column("greedy", justify="right")
    floors = outcome.floors
    table.add_row("[dim]floor: always true[/]", "", f"{floors.always_true:.3f}")
    sampled, greedy = outcome.cards["sampled"], outcome.cards["greedy"]
    for name, by_chance, at_best in zip(_NAMES, sampled, greedy, strict=True):
        table.add_row(name, interval_text(by_chance.mean()), interval_text(at_best.mean()))
    table.add_row("the reward model's choice", "", interval_text(outcome.agreement.with_label))
    table.add_row("[dim]one person[/]", "", f"{floors.single_person:.3f}")
    table.add_row("[dim]five people's majority[/]", "", f"{floors.people_majority:.3f}")
    return table


def _votes_text(outcome: NlvrOutcome) -> str:
    return interval_text(outcome.agreement.with_votes)
