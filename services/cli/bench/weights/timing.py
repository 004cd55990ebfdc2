"""A few publications by each route, in turns with the reference, while answers are written."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from services.cli.bench.traffic import Traffic
from services.cli.bench.weights.load import load
from services.cli.bench.weights.publishing import (
    Publication,
    Route,
    publish,
    resident_versions,
)
from services.cli.bench.weights.reference import cold_copy_and_hash_s
from services.cli.bench.weights.service import PolicyService
from services.cli.bench.weights.versions import Built
from services.cli.errors import UserError

_MAX_SETTLED = 2  # what is served, and at most one that calls have still to finish
_POLL_S = 0.05
_PATIENCE_S = 120.0


@dataclass(slots=True)
class Timings:
    """Of the rounds that count."""

    num_bytes: int
    traffic: Traffic
    reference_s: list[float] = field(default_factory=list)
    reference_gaps_s: list[float] = field(default_factory=list)  # the longest beside each
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

    def longest_gap_s(self, route: Route) -> float:
        """Between tokens of a stream, during publications by this route."""
        return max(
            self.traffic.longest_gap_s(each.started_s, each.ended_s)
            for each in self.publications[route]
        )

    @property
    def stalls_s(self) -> list[float]:
        """Of all commits."""
        return [each.stall_s for route in Route for each in self.publications[route]]


def time_publications(
    policy: PolicyService,
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
            next_version(policy, versions, _MAX_SETTLED)
            _time_reference(policy, versions[0], counted)
            for route in Route:
                on_step(route)
                built = next_version(policy, versions, _MAX_SETTLED)
                counted.publications[route].append(publish(policy, built, route))
    return timings


def next_version(policy: PolicyService, versions: Sequence[Built], max_resident: int) -> Built:
    """One that a publication would really load, once no more than so many are in memory: calls
    hold the version that they began with. Raises UserError."""
    deadline_s = time.monotonic() + _PATIENCE_S
    while len(resident := resident_versions(policy)) > max_resident:
        if time.monotonic() > deadline_s:
            raise UserError(f"{len(resident)} versions stay in memory for {_PATIENCE_S:.0f} s")
        time.sleep(_POLL_S)
    return next(built for built in versions if built.version not in resident)


def _time_reference(policy: PolicyService, built: Built, timings: Timings) -> None:
    started_s = time.perf_counter()
    timings.reference_s.append(cold_copy_and_hash_s(built.files, policy.home / "reference"))
    gap_s = timings.traffic.longest_gap_s(started_s, time.perf_counter())
    timings.reference_gaps_s.append(gap_s)
