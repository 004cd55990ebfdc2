"""How each service is: health, what it serves, memory, uptime."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import grpc
import psutil
from rich.table import Table

from protos.v1 import policy_generator_pb2, reward_model_pb2, training_orchestrator_pb2
from protos.v1.policy_generator_pb2_grpc import PolicyGeneratorStub
from protos.v1.reward_model_pb2_grpc import RewardModelStub
from protos.v1.training_orchestrator_pb2_grpc import TrainingOrchestratorStub
from services.cli.stack.state import ServiceState, UpState
from services.common.readiness import Health, check_health

_ASK_TIMEOUT_S = 2.0
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class ServiceReport:
    """One row of the table; `rss_bytes` counts a service's own children too."""

    service: ServiceState
    health: Health
    serves: str
    rss_bytes: int
    uptime_s: float


def survey(state: UpState) -> list[ServiceReport]:
    """Asks every service that the state names."""
    return [_report(service) for service in state.services]


def survey_table(state: UpState, reports: list[ServiceReport]) -> Table:
    """For people."""
    note = "" if state.is_watched else "; its supervisor has died: a service that dies stays dead"
    table = Table(title=f"home {state.home}{note}", title_justify="left", box=None, pad_edge=False)
    for column in ("service", "health", "address"):
        table.add_column(column, no_wrap=True)
    for column in ("memory", "uptime", "restarts"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("serves", overflow="fold")
    for r in sorted(reports, key=lambda r: r.service.name):
        color = "green" if r.health == "serving" else "red"
        table.add_row(
            r.service.name,
            f"[{color}]{r.health}[/]",
            r.service.address,
            f"{r.rss_bytes / _MIB:.0f} MiB",
            duration_text(r.uptime_s),
            str(r.service.restarts),
            r.serves,
        )
    return table


def survey_figures(state: UpState, reports: list[ServiceReport]) -> dict[str, Any]:
    """For programs."""
    return {
        "home": str(state.home),
        "supervisor": {"pid": state.supervisor.pid, "alive": state.is_watched},
        "services": {
            r.service.name: {
                "health": r.health,
                "serves": r.serves,
                "pid": r.service.process.pid,
                "rss_bytes": r.rss_bytes,
                "uptime_s": round(r.uptime_s, 1),
                "restarts": r.service.restarts,
                "threads": r.service.threads,
                "address": r.service.address,
                "metrics_address": r.service.metrics_address,
                "log": str(r.service.log),
            }
            for r in reports
        },
    }


def duration_text(seconds: float) -> str:
    """90 as "1m 30s"."""
    minutes, left_s = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {left_s}s" if minutes else f"{left_s}s"


def resident_bytes(service: ServiceState) -> int:
    """Memory of a service and its children; 0 where it has ended."""
    process = service.process.find()
    if process is None:
        return 0
    total = 0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += each.memory_info().rss
    return total


def _report(service: ServiceState) -> ServiceReport:
    health = check_health(service.address, service.grpc_name)
    is_alive = service.process.find() is not None
    return ServiceReport(
        service=service,
        health=health,
        serves=_serves(service) if health == "serving" else "",
        rss_bytes=resident_bytes(service),
        uptime_s=time.time() - service.started_at_s if is_alive else 0.0,
    )


def _serves(service: ServiceState) -> str:
    ask = _ASK.get(service.name)
    if ask is None:
        return f"http://{service.address}" if service.grpc_name is None else ""
    with grpc.insecure_channel(service.address) as channel:
        try:
            return ask(channel)
        except grpc.RpcError as error:
            return f"({error.code().name})"


def _policy_serves(channel: grpc.Channel) -> str:
    request = policy_generator_pb2.ListVersionsRequest()
    answer = PolicyGeneratorStub(channel).ListVersions(request, timeout=_ASK_TIMEOUT_S)
    stable = [a.version for a in answer.aliases if a.alias == "stable"]
    return f"stable = {stable[0]}" if stable else f"{len(answer.versions)} versions"


def _reward_serves(channel: grpc.Channel) -> str:
    request = reward_model_pb2.ListModelsRequest()
    answer = RewardModelStub(channel).ListModels(request, timeout=_ASK_TIMEOUT_S)
    return f"{len(answer.models)} scorers"


def _trainer_serves(channel: grpc.Channel) -> str:
    request = training_orchestrator_pb2.ListRunsRequest(page_size=1)
    answer = TrainingOrchestratorStub(channel).ListRuns(request, timeout=_ASK_TIMEOUT_S)
    for run in answer.runs:
        state = training_orchestrator_pb2.RunState.Name(run.state).removeprefix("RUN_STATE_")
        return f"{run.run_id} {state.lower()}"
    return "no runs"


_ASK: dict[str, Callable[[grpc.Channel], str]] = {
    "policy": _policy_serves,
    "reward": _reward_serves,
    "trainer": _trainer_serves,
}
