"""An experiment's stages: each announced with its time budget, timed, and remembered."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from rich.table import Table

from services.cli.errors import UserError
from services.cli.stack.survey import duration_text
from services.cli.terminal import results


class Section(BaseModel):
    """Base of all sections of an experiment's recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")


S = TypeVar("S", bound=Section)


@dataclass
class Stage:
    """One stage as it went; `throughput` is said in its own unit."""

    title: str
    budget_s: float
    took_s: float = 0.0
    throughput: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass
class Story:
    """The stages so far."""

    num_stages: int
    stages: list[Stage] = field(default_factory=list)
    _begin_s: float = field(default_factory=time.monotonic)

    @contextmanager
    def stage(self, title: str, budget_s: float) -> Iterator[Stage]:
        """Announces a stage, and says at its end how long it took."""
        stage = Stage(title, budget_s)
        self.stages.append(stage)
        out = results()
        number = f"{len(self.stages)}/{self.num_stages}"
        out.print(f"\n[bold cyan]{number}[/]  [bold]{title}[/]  [dim]budget {_time(budget_s)}[/]")
        begin_s = time.monotonic()
        yield stage
        stage.took_s = time.monotonic() - begin_s
        note = f"  {stage.throughput}" if stage.throughput else ""
        out.print(f"     [dim]took {_time(stage.took_s)}{note}[/]")

    def tell(self, text: str) -> None:
        """A line of the story, under the stage that it belongs to."""
        results().print(f"     {text}")

    @property
    def total_s(self) -> float:
        """Since the story began."""
        return time.monotonic() - self._begin_s

    def table(self) -> Table:
        """Stages, budgets, times and throughput."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("stage")
        for column in ("budget", "took"):
            table.add_column(column, justify="right")
        table.add_column("throughput")
        for s in self.stages:
            table.add_row(s.title, _time(s.budget_s), _time(s.took_s), s.throughput)
        budget_s = sum(s.budget_s for s in self.stages)
        table.add_section()
        table.add_row("whole", _time(budget_s), _time(self.total_s), "", style="bold")
        return table

    def figures(self) -> list[dict[str, Any]]:
        """The stages as JSON."""
        return [
            {
                "stage": s.title,
                "budget_s": round(s.budget_s, 1),
                "took_s": round(s.took_s, 1),
                "throughput": s.throughput,
                **s.figures,
            }
            for s in self.stages
        ]


def read_settings(cls: type[S], values: dict[str, Any], name: str) -> S:
    """An experiment's recipe as its model. Raises UserError that names the field."""
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(
            f"recipe {name}, {where}: {first['msg']} (got {first['input']!r})"
        ) from error


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else duration_text(seconds)
