"""A run's progress, live on a terminal, and as a line now and then where there is none."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from protos.v1 import training_orchestrator_pb2 as pb
from services.cli.runs.following import FollowedRun, OnEvent
from services.cli.runs.headlines import figure_text, headlines
from services.cli.stack.survey import duration_text
from services.cli.terminal import messages

_LINE_EVERY_S = 10.0


@contextmanager
def run_view(followed: FollowedRun, console: Console | None = None) -> Iterator[OnEvent]:
    """What to tell of each event while the context lasts."""
    out = console or messages()
    if not out.is_terminal:
        yield _LineView(followed, out)
        return
    view = _LiveView(followed)
    with Live(console=out, get_renderable=view.render, refresh_per_second=4, transient=True):
        yield _with_log(view, out)


def state_text(state: int) -> str:
    """RUN_STATE_RUNNING as "running"."""
    name: str = pb.RunState.Name(pb.RunState.ValueType(state))
    return name.removeprefix("RUN_STATE_").lower()


class _LiveView:
    """Bars for steps and for the phase within a step, and the newest figures."""

    def __init__(self, followed: FollowedRun) -> None:
        self._followed = followed
        self._begin_s = time.monotonic()
        self._begin_step: int | None = None
        self._state = ""
        self._bars = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            TimeElapsedColumn(),
        )
        total = followed.run.total_steps or None
        self._steps = self._bars.add_task("step", total=total, note="")
        self._phase = self._bars.add_task("", total=None, note="", visible=False)

    def __call__(self, event: pb.RunEvent) -> None:
        match event.WhichOneof("kind"):
            case "metrics":
                self._take_step(event.step)
            case "progress":
                p = event.progress
                self._bars.reset(self._phase, visible=True, description=p.phase)
                self._bars.update(self._phase, total=p.total or None, completed=p.done)
            case "state":
                self._state = state_text(event.state.state)

    def render(self) -> RenderableType:
        """The whole view."""
        run = self._followed.run
        state = "stopping after this step" if self._followed.is_stopping else self._state
        title = f"[bold]{run.run_id}[/] [dim]{run.stage}[/]  {state}"
        return Group(title, self._bars, _figures(self._followed))

    def _take_step(self, step: int) -> None:
        if self._begin_step is None:
            self._begin_step, self._begin_s = step, time.monotonic()
        self._bars.update(self._steps, completed=step, note=self._time_left(step))

    def _time_left(self, step: int) -> str:
        done = step - (self._begin_step or 0)
        total = self._followed.run.total_steps
        if done < 1 or not total:
            return ""
        each_s = (time.monotonic() - self._begin_s) / done
        return f"{duration_text(each_s * max(0, total - step))} left"


class _LineView:
    """A line of figures every ten seconds, for logs and pipes."""

    def __init__(self, followed: FollowedRun, out: Console) -> None:
        self._followed, self._out = followed, out
        self._told_s = -_LINE_EVERY_S

    def __call__(self, event: pb.RunEvent) -> None:
        _print_log(event, self._out)
        if event.WhichOneof("kind") != "metrics":
            return
        now_s = time.monotonic()
        run = self._followed.run
        if now_s - self._told_s < _LINE_EVERY_S and event.step != run.total_steps:
            return
        self._told_s = now_s
        total = f"/{run.total_steps}" if run.total_steps else ""
        shown = headlines(self._followed.metrics)
        figures = "  ".join(f"{name} {figure_text(value)}" for name, value in shown.items())
        self._out.print(f"{run.run_id}  step {event.step}{total}  {figures}", soft_wrap=True)


def _with_log(view: _LiveView, out: Console) -> Callable[[pb.RunEvent], None]:
    def take(event: pb.RunEvent) -> None:
        _print_log(event, out)
        view(event)

    return take


def _print_log(event: pb.RunEvent, out: Console) -> None:
    if event.WhichOneof("kind") == "log":
        level = event.log.level
        color = {"warning": "yellow", "error": "red"}.get(level, "dim")
        out.print(f"{level} {event.log.text}", style=color, markup=False)


def _figures(followed: FollowedRun) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    table.add_column("first", justify="right")
    table.add_column("now", justify="right")
    for name, value in headlines(followed.metrics).items():
        first = followed.first_metrics.get(name, value)
        table.add_row(name, f"[dim]{figure_text(first)}[/]", figure_text(value))
    return table
