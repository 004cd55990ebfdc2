"""Many publications under load: is anything lost, does memory grow?"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from services.cli.bench.memory import MemoryThirds, memory_thirds
from services.cli.bench.traffic import Traffic
from services.cli.bench.weights.load import load
from services.cli.bench.weights.publishing import Route, publish
from services.cli.bench.weights.service import PolicyService
from services.cli.bench.weights.timing import next_version
from services.cli.bench.weights.versions import Built


@dataclass(slots=True)
class Endurance:
    """Of one run; every update was loaded anew and answered by."""

    traffic: Traffic
    seconds: float = 0.0
    stalls_s: list[float] = field(default_factory=list)
    resident_bytes: list[int] = field(default_factory=list)  # after each update

    @property
    def num_updates(self) -> int:
        return len(self.stalls_s)

    @property
    def memory(self) -> MemoryThirds:
        return memory_thirds(self.resident_bytes)


def endure(
    policy: PolicyService,
    versions: Sequence[Built],
    num_updates: int,
    calls: tuple[int, int],
    on_update: Callable[[], None],
) -> Endurance:
    """Routes take turns; `calls` are streams and followers."""
    routes = list(Route)
    started_s = time.perf_counter()
    with load(policy.stub, *calls, is_timed=False) as traffic:
        endurance = Endurance(traffic)
        for number in range(num_updates):
            built = next_version(policy, versions, len(versions) - 1)
            publication = publish(policy, built, routes[number % len(routes)])
            endurance.stalls_s.append(publication.stall_s)
            endurance.resident_bytes.append(policy.process.memory_info().rss)
            on_update()
    endurance.seconds = time.perf_counter() - started_s
    return endurance
