"""A few publications by each route, in turns with the reference, while answers are written."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from services.cli.bench.weights.load import load
from services.cli.bench.weights.publishing import (
    Publication,
    Route,
    publish,
    resident_versions,
)
from services.cli.bench.weights.reference import cold_copy_and_hash_s
from services.cli.bench.weights.service import PolicyAlone
from services.cli.bench.weights.traffic import Traffic
from services.cli.bench.weights.versions import Built


@dataclass(slots=True)
class Timings:
    """Of the rounds that count."""

    num_bytes: int
    traffic: Traffic
    reference_s: list[float] = field(default_factory=list)
    quiet_silences_s: list[float] = field(default_factory=list)  # beside the reference
    publications: dict[Route, list[Publication]] = field(
        default_factory=lambda: {route: [] for route in Route}
    )

    def live_s(self, route: Route) -> float:
        """Median."""
        return median(publication.live_s for publication in self.publications[route])

    def ratio(self, route: Route) -> float:
        """Median over rounds of a publication beside the reference of its round."""
        pairs = zip(self.publications[route], self.reference_s, strict=True)
        return median(publication.live_s / reference for publication, reference in pairs)

    def silence_s(self, route: Route) -> float:
        """The longest time without a token of any stream during its publications."""
        return max(
            self.traffic.longest_silence_s(each.started_s, each.ended_s)
            for each in self.publications[route]
        )

    @property
    def stalls_s(self) -> list[float]:
        """Of all commits."""
        return [each.stall_s for route in Route for each in self.publications[route]]


def time_publications(
    policy: PolicyAlone,
    versions: Sequence[Built],
    rounds: int,
    calls: tuple[int, int],
    on_step: Callable[[str], None],
) -> Timings:
    """`calls` are streams and followers; a first round is not counted."""
    with load(policy.stub, *calls, is_timed=True) as traffic:
        timings = Timings(versions[0].num_bytes, traffic)
        for number in range(rounds + 1):
            counted = timings if number else Timings(versions[0].num_bytes, traffic)
            on_step("copy and hash")
            _time_reference(policy, versions[0], counted)
            for route in Route:
                on_step(route)
                built = not_resident(policy, versions)
                counted.publications[route].append(publish(policy, built, route))
    return timings


def not_resident(policy: PolicyAlone, versions: Sequence[Built]) -> Built:
    """One that a publication would really load. There are more than calls can hold."""
    resident = resident_versions(policy)
    return next(built for built in versions if built.version not in resident)


def _time_reference(policy: PolicyAlone, built: Built, timings: Timings) -> None:
    started_s = time.perf_counter()
    timings.reference_s.append(cold_copy_and_hash_s(built.files, policy.home / "reference"))
    silence_s = timings.traffic.longest_silence_s(started_s, time.perf_counter())
    timings.quiet_silences_s.append(silence_s)
