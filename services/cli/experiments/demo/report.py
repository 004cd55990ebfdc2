"""The demo's outcome: the table of before and after, the stages, the memory, the figures."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from services.cli.evaluation.report import (
    card_figures,
    gain_figures,
    gain_table,
    gain_text,
    interval_text,
    score_table,
    unscored_lines,
)
from services.cli.evaluation.scorecard import Scorecard, mean_difference
from services.cli.experiments.demo.settings import DemoSettings
from services.cli.experiments.reward_check import RewardCheck
from services.cli.experiments.stages import Story
from services.cli.stack.state import UpState
from services.cli.stack.survey import resident_bytes
from services.cli.terminal import results, write_json

_NAMES = ("base", "control", "RL")
_MIB = 1 << 20


@dataclass(frozen=True)
class DemoOutcome:
    """All that a demo came to."""

    settings: DemoSettings
    story: Story
    base: Scorecard
    control: Scorecard
    improved: Scorecard
    check: RewardCheck
    state: UpState

    @property
    def cards(self) -> tuple[Scorecard, Scorecard, Scorecard]:
        """In the order of the table."""
        return self.base, self.control, self.improved


def print_outcome(outcome: DemoOutcome) -> None:
    """Everything that was measured, and where to look on."""
    out = results()
    items = outcome.settings.evaluation.items_per_family
    out.print(f"\n[bold]Held-out scores[/]  [dim]{items} items per family, 95 % intervals[/]")
    out.print(score_table(outcome.cards, _NAMES))
    out.print()
    out.print(gain_table(outcome.cards, _NAMES))
    for line in unscored_lines(outcome.cards):
        out.print(line, style="yellow", markup=False)
    beats = mean_difference(outcome.control, outcome.improved)
    out.print(f"RL − control, mean over families: {gain_text(beats)}")
    out.print(
        "[dim]The score is the world's checkers', which no reward here ever saw. Judgements came "
        "from simulated raters: programs with noise, ties and a side bias, not people.[/]",
        soft_wrap=True,
    )
    out.print("\n[bold]Reward model[/]  [dim]on pairs that it was not trained on[/]")
    out.print(_reward_table(outcome.check))
    out.print("\n[bold]Stages[/]")
    out.print(outcome.story.table())
    memory = ", ".join(f"{name} {size / _MIB:.0f} MiB" for name, size in _memory(outcome).items())
    out.print(f"\nresident memory: {memory}")
    out.print(f"open [bold]http://{outcome.state.address('gateway')}[/]")


def write_outcome(outcome: DemoOutcome, path: Path) -> None:
    """The same as JSON."""
    write_json(path, outcome_figures(outcome))


def outcome_figures(outcome: DemoOutcome) -> dict[str, Any]:
    """Settings, scores, reward model, stages and memory."""
    return {
        "settings": outcome.settings.model_dump(mode="json"),
        "raters": "simulated",
        "scores": dict(zip(_NAMES, map(card_figures, outcome.cards), strict=True)),
        "gain_over_base": {
            "control": gain_figures(outcome.base, outcome.control),
            "RL": gain_figures(outcome.base, outcome.improved),
        },
        "gain_of_rl_over_control": gain_figures(outcome.control, outcome.improved),
        "reward_model": outcome.check.figures(),
        "stages": outcome.story.figures(),
        "total_s": round(outcome.story.total_s, 1),
        "resident_bytes": _memory(outcome),
    }


def _reward_table(check: RewardCheck) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("family")
    table.add_column("pair accuracy", justify="right")
    table.add_column("the raters' noise admits", justify="right")
    for family, (accuracy, ceiling) in check.by_family.items():
        table.add_row(family, interval_text(accuracy), interval_text(ceiling))
    table.add_section()
    table.add_row("all", interval_text(check.accuracy), interval_text(check.ceiling), style="bold")
    return table


def _memory(outcome: DemoOutcome) -> dict[str, int]:
    return {s.name: resident_bytes(s) for s in outcome.state.services}
