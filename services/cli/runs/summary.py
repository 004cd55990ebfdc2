"""What a run came to, when it has ended."""

from typing import Any

from rich.table import Table

from protos.v1 import training_orchestrator_pb2 as pb
from services.cli.errors import UserError
from services.cli.runs.following import FollowedRun
from services.cli.runs.headlines import figure_text, headlines
from services.cli.runs.view import state_text
from services.cli.stack.survey import duration_text
from services.cli.terminal import results


def print_summary(followed: FollowedRun) -> None:
    """The outcome, the figures from first to last, and what to do next."""
    run = followed.run
    out = results()
    color = "green" if run.state == pb.RUN_STATE_SUCCEEDED else "yellow"
    took = duration_text(run.updated_at_s - run.created_at_s)
    total = f" of {run.total_steps}" if run.total_steps else ""
    out.print(
        f"[{color}]{state_text(run.state)}[/]  [bold]{run.run_id}[/]  "
        f"step {run.step}{total} in {took}"
    )
    if followed.metrics:
        out.print(_figures_table(followed))
    if run.latest_version:
        out.print(f"  published {run.latest_version} as [bold]{run.alias}[/]")
    out.print(f"  [dim]folder    {run.folder}[/]")
    for hint in _next_steps(run):
        out.print(f"  [dim]next      {hint}[/]")


def require_success(run: pb.Run) -> None:
    """Raises UserError where a run failed or was interrupted."""
    if run.state in (pb.RUN_STATE_FAILED, pb.RUN_STATE_INTERRUPTED):
        raise UserError(
            f"run {run.run_id} {state_text(run.state)}: {run.error or 'its process died'}",
            f"attune run --resume {run.run_id}",
        )


def run_figures(followed: FollowedRun) -> dict[str, Any]:
    """The run as JSON."""
    run = followed.run
    return {
        "run_id": run.run_id,
        "stage": run.stage,
        "state": state_text(run.state),
        "step": run.step,
        "total_steps": run.total_steps,
        "took_s": round(run.updated_at_s - run.created_at_s, 3),
        "initial_version": run.initial_version,
        "latest_version": run.latest_version,
        "alias": run.alias,
        "folder": run.folder,
        "first_metrics": followed.first_metrics,
        "metrics": followed.metrics,
    }


def _figures_table(followed: FollowedRun) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("  figure", "first", "last"):
        table.add_column(column, justify="left" if column.strip() == "figure" else "right")
    for name, value in headlines(followed.metrics).items():
        first = followed.first_metrics.get(name, value)
        table.add_row(f"  {name}", figure_text(first), figure_text(value))
    return table


def _next_steps(run: pb.Run) -> list[str]:
    if run.state == pb.RUN_STATE_STOPPED:
        return [f"attune run --resume {run.run_id}"]
    if run.state == pb.RUN_STATE_SUCCEEDED and run.stage in ("policy", "sft", "dpo"):
        return [f"attune eval base {run.alias}", f"attune replay {run.run_id}"]
    return []
