"""One publication as a trainer makes it (DESIGN law 7): lease, prepare, commit; and its times."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from uuid import uuid4

from protos.v1 import policy_generator_pb2 as pb
from services.cli.bench.weights.load import STABLE, first_token_version
from services.cli.bench.weights.reference import forget_cached
from services.cli.bench.weights.service import PolicyService
from services.cli.bench.weights.versions import KIND, Built
from services.cli.errors import UserError
from services.common.codecs import manifest_to_proto

_OWNER, _LEASE_S = "bench", 600.0
_CHUNK_BYTES = 1 << 20


class Route(StrEnum):
    """How the bytes reach the policy service."""

    FOLDER = "shared folder"  # read from there and taken into the store
    STORE = "shared store"  # the publisher put them there: what the trainer does
    STREAM = "stream"


@dataclass(frozen=True, slots=True)
class Publication:
    """Seconds; `live_s` is from the start of prepare to the answer of commit."""

    started_s: float  # of time.perf_counter
    put_s: float  # the publisher's, before prepare; of Route.STORE alone
    prepare_s: float
    commit_s: float
    stall_s: float  # the engine's, as it says
    first_token_s: float  # from the start of prepare to a token of the new version

    @property
    def live_s(self) -> float:
        return self.prepare_s + self.commit_s

    @property
    def ended_s(self) -> float:
        return self.started_s + self.first_token_s


def publish(policy: PolicyService, built: Built, route: Route) -> Publication:
    """From the disk, not from the page cache. Raises UserError where the version was in memory
    already, or another one answers afterwards."""
    put_s = _place(policy, built, route)
    epoch = policy.store.acquire_lease(KIND, STABLE, _OWNER, _LEASE_S)
    began_unix_s, started_s = time.time(), time.perf_counter()
    policy.stub.PrepareWeights(_prepare_requests(policy, built, route, epoch))
    prepared_s = time.perf_counter()
    committed = policy.stub.CommitWeights(
        pb.CommitWeightsRequest(
            request_id=uuid4().hex, alias=STABLE, epoch=epoch, version=built.version
        )
    )
    committed_s = time.perf_counter()
    answered_by = first_token_version(policy.stub)
    first_token_s = time.perf_counter()
    _check(policy, built, began_unix_s, answered_by)
    return Publication(
        started_s=started_s,
        put_s=put_s,
        prepare_s=prepared_s - started_s,
        commit_s=committed_s - prepared_s,
        stall_s=committed.stall_s,
        first_token_s=first_token_s - started_s,
    )


def resident_versions(policy: PolicyService) -> dict[str, float]:
    """When each version that is in memory was loaded, in Unix seconds."""
    listed = policy.stub.ListVersions(pb.ListVersionsRequest()).versions
    return {each.version: each.loaded_at_s for each in listed}


def _place(policy: PolicyService, built: Built, route: Route) -> float:
    """Has the bytes where the route wants them, and only there."""
    store = policy.store
    if route is Route.STORE:
        started_s = time.perf_counter()
        manifest = built.manifest
        store.put(KIND, built.folder, manifest.preprocessing_fingerprint, manifest.metadata)
        put_s = time.perf_counter() - started_s
        folder = store.folder(KIND, built.version)
        forget_cached([folder / file.name for file in manifest.files])
        return put_s
    if built.version in store.versions(KIND):
        store.remove(KIND, built.version)
    forget_cached(built.files)
    return 0.0


def _prepare_requests(
    policy: PolicyService, built: Built, route: Route, epoch: int
) -> Iterator[pb.PrepareWeightsRequest]:
    folder = built.folder
    if route is Route.STORE:
        folder = policy.store.folder(KIND, built.version)
    header = pb.PrepareWeightsHeader(
        request_id=uuid4().hex,
        alias=STABLE,
        epoch=epoch,
        manifest=manifest_to_proto(built.manifest),
        shared_folder="" if route is Route.STREAM else str(folder),
    )
    yield pb.PrepareWeightsRequest(header=header)
    if route is Route.STREAM:
        for path in built.files:
            yield from _chunks(path)


def _chunks(path: Path) -> Iterator[pb.PrepareWeightsRequest]:
    offset = 0
    with open(path, "rb") as file:
        while data := file.read(_CHUNK_BYTES):
            chunk = pb.FileChunk(name=path.name, offset=offset, data=data)
            yield pb.PrepareWeightsRequest(chunk=chunk)
            offset += len(data)


def _check(policy: PolicyService, built: Built, began_unix_s: float, answered_by: str) -> None:
    loaded_at_s = resident_versions(policy).get(built.version, 0.0)
    if loaded_at_s < began_unix_s:
        raise UserError(f"{built.version} was in memory before it was published")
    if answered_by != built.version:
        raise UserError(f"{answered_by} answers after the commit of {built.version}")
