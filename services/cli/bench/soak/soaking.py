"""Everything at once until the time is over; memory is looked at every second."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Thread

import psutil

from services.cli.bench.callers import asking
from services.cli.bench.memory import MemoryThirds, memory_thirds
from services.cli.bench.service_metrics import read_metrics
from services.cli.bench.soak.calls import Caller, all_kinds
from services.cli.bench.traffic import Traffic
from services.cli.bench.weights.publishing import Route, publish
from services.cli.bench.weights.service import PolicyService
from services.cli.bench.weights.timing import next_version
from services.cli.bench.weights.versions import Built
from services.cli.stack.state import ServiceState

_LOOK_EVERY_S = 1.0
_DRAIN_DEADLINE_S = 60.0
# What must be nothing once all calls have ended; the engine counts an error where its books of
# pages do not balance when it is idle.
_HELD = ("kv_cache_usage_ratio", "running_rows", "waiting_samples")


@dataclass(slots=True)
class Soak:
    """What came of it."""

    traffic: Traffic
    seconds: float = 0.0
    num_updates: int = 0
    resident_bytes: dict[str, list[int]] = field(default_factory=dict)  # by service
    held: dict[str, float] = field(default_factory=dict)  # after the drain
    num_step_errors: int = 0
    num_tokens: int = 0

    def memory(self, service: str) -> MemoryThirds:
        """With the processes that it started."""
        return memory_thirds(self.resident_bytes[service])


@dataclass(frozen=True, slots=True)
class SoakPlan:
    """How long, how many callers, how often new weights come."""

    seconds: float
    callers: int
    update_every_s: float


def soak(
    policy: PolicyService,
    services: Sequence[ServiceState],
    versions: Sequence[Built],
    plan: SoakPlan,
    on_second: Callable[[float], None],
) -> Soak:
    """Asks, cancels and publishes; then waits until nothing runs and looks at what is held."""
    kinds, started_s = all_kinds(), time.monotonic()
    callers = [Caller(policy.stub, kinds, seed) for seed in range(plan.callers)]
    with asking(callers) as traffic:
        result = Soak(traffic)
        with _memory_of(services, result.resident_bytes):
            while (elapsed_s := time.monotonic() - started_s) < plan.seconds:
                on_second(elapsed_s)
                routes = list(Route)
                route = routes[result.num_updates % len(routes)]
                publish(policy, next_version(policy, versions, len(versions) - 1), route)
                result.num_updates += 1
                time.sleep(min(plan.update_every_s, max(0.0, plan.seconds - elapsed_s)))
    result.seconds = time.monotonic() - started_s
    _look_at_engine(next(s for s in services if s.name == "policy").metrics_address, result)
    return result


@contextmanager
def _memory_of(
    services: Sequence[ServiceState], resident_bytes: dict[str, list[int]]
) -> Iterator[None]:
    processes = {s.name: process for s in services if (process := s.process.find()) is not None}
    resident_bytes.update({name: [] for name in processes})
    is_over = Event()

    def look() -> None:
        while not is_over.wait(_LOOK_EVERY_S):
            for name, process in processes.items():
                resident_bytes[name].append(_resident_bytes(process))

    looker = Thread(target=look, daemon=True)
    looker.start()
    try:
        yield
    finally:
        is_over.set()
        looker.join()


def _resident_bytes(process: psutil.Process) -> int:
    total = 0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += each.memory_info().rss
    return total


def _look_at_engine(metrics_address: str, result: Soak) -> None:
    """Cancelled calls may still be on their way out when their callers have left."""
    give_up_s = time.monotonic() + _DRAIN_DEADLINE_S
    while True:
        figures = read_metrics(metrics_address)
        result.held = {name: figures[f"attune_policy_{name}"] for name in _HELD}
        if not any(result.held.values()) or time.monotonic() > give_up_s:
            break
        time.sleep(_LOOK_EVERY_S)
    result.num_step_errors = int(figures["attune_policy_step_errors_total"])
    result.num_tokens = int(figures["attune_policy_generated_tokens_total"])
