"""Two-phase weights (DESIGN law 7): prepare beside what is served, then commit or abort.

Whatever fails, the alias stays where it was and serving goes on.
"""

import asyncio
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from protos.v1 import policy_generator_pb2 as pb
from protos.v1 import versions_pb2
from services.common.codecs import manifest_from_proto
from services.common.errors import (
    AttuneError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
)
from services.common.version_store import Manifest, check_sizes
from services.policy.config import PolicyConfig
from services.policy.engine.served_model import ServedModel
from services.policy.metrics import PolicyMetrics
from services.policy.residents import KIND, Lease, Residents
from services.policy.weight_upload import receive


@dataclass(frozen=True, slots=True)
class Prepared:
    """A version that waits for its commit; the lease keeps it in memory."""

    version: str
    epoch: int
    lease: Lease
    expiry: asyncio.TimerHandle

    def close(self) -> None:
        """Lets the version go."""
        self.expiry.cancel()
        self.lease.close()


class WeightUpdates:
    """One prepared version per alias; a newer epoch replaces an older one's."""

    def __init__(self, config: PolicyConfig, residents: Residents, metrics: PolicyMetrics) -> None:
        self._config = config
        self._residents = residents
        self._store = residents.store
        self._metrics = metrics
        self._prepared: dict[str, Prepared] = {}

    @property
    def prepared_versions(self) -> set[str]:
        return {prepared.version for prepared in self._prepared.values()}

    async def prepare(
        self, header: pb.PrepareWeightsHeader, chunks: AsyncIterator[pb.PrepareWeightsRequest]
    ) -> pb.PrepareWeightsResponse:
        """Phase one. Raises InvalidArgument, FailedPrecondition, DataLoss, PermissionDenied."""
        started_s = time.monotonic()
        manifest = manifest_from_proto(header.manifest)
        self._check_manifest(manifest)
        self._check_epoch(header.alias, header.epoch)
        lease = await self._lease(manifest, header.shared_folder, chunks)
        try:
            self._check_epoch(header.alias, header.epoch)  # another publisher may have been faster
        except AttuneError:
            lease.close()
            raise
        self._drop(header.alias)
        expiry = asyncio.get_running_loop().call_later(
            self._config.prepared_ttl_s, self._drop, header.alias
        )
        self._prepared[header.alias] = Prepared(manifest.version, header.epoch, lease, expiry)
        return pb.PrepareWeightsResponse(
            version=manifest.version, load_s=time.monotonic() - started_s
        )

    async def commit(self, request: pb.CommitWeightsRequest) -> pb.CommitWeightsResponse:
        """Phase two. Raises FailedPrecondition for what is not prepared or is fenced off."""
        self._check_epoch(request.alias, request.epoch)
        prepared = self._prepared.get(request.alias)
        wanted = (request.version, request.epoch)
        if prepared is None or (prepared.version, prepared.epoch) != wanted:
            return self._committed_before(request)
        with await self._residents.lease_version(request.version) as lease:
            if not self._is_at(request):
                await asyncio.to_thread(self._store.set_alias, KIND, request.alias, *wanted)
            stall_s = await self._residents.move_followers(request.alias, lease.resident)
        self._metrics.commit_stall.observe(stall_s)
        if self._prepared.get(request.alias) is prepared:
            self._drop(request.alias)
        return self._response(request.alias, stall_s)

    async def abort(self, request: pb.AbortWeightsRequest) -> pb.AbortWeightsResponse:
        """Forgets a prepared version; one that is not prepared is no error."""
        prepared = self._prepared.get(request.alias)
        if prepared and (prepared.version, prepared.epoch) == (request.version, request.epoch):
            self._drop(request.alias)
        return pb.AbortWeightsResponse()

    def close(self) -> None:
        """Lets go of all that is prepared."""
        for alias in list(self._prepared):
            self._drop(alias)

    async def _lease(
        self,
        manifest: Manifest,
        shared_folder: str,
        chunks: AsyncIterator[pb.PrepareWeightsRequest],
    ) -> Lease:
        try:
            return await self._residents.lease_version(manifest.version)
        except NotFound:
            pass  # not in the store yet
        if shared_folder:
            folder = self._shared(Path(shared_folder), manifest)
            taken = asyncio.to_thread(self._take, folder, manifest, shutil.copyfile)
            return self._residents.adopt(await taken)
        with self._scratch() as folder:
            await receive(chunks, manifest, folder)
            taken = asyncio.to_thread(self._take, folder, manifest, shutil.move)
            return self._residents.adopt(await taken)

    def _take(
        self, folder: Path, manifest: Manifest, place: Callable[[Path, Path], object]
    ) -> ServedModel:
        """Puts files into the store and loads them there: what is hashed is what is served.

        They remain there only if all is well with them.
        """
        with (
            self._residents.engine.lending_a_core(),
            self._store.incoming(KIND, manifest) as incoming,
        ):
            check_sizes(folder, manifest)
            for file in manifest.files:
                place(folder / file.name, incoming / file.name)
            served = self._residents.loader.load(incoming, manifest)
            fingerprint = served.preprocessor.fingerprint
            if fingerprint != manifest.preprocessing_fingerprint:
                raise InvalidArgument(
                    f"the manifest's preprocessing is {manifest.preprocessing_fingerprint!r},"
                    f" the checkpoint's {fingerprint!r}"
                )
        return served

    def _check_manifest(self, manifest: Manifest) -> None:
        if manifest.kind != KIND:
            raise InvalidArgument(f"the manifest's kind is {manifest.kind!r}; expected {KIND!r}")
        num_bytes = sum(file.size_bytes for file in manifest.files)
        if num_bytes > self._config.max_upload_mib << 20:
            raise InvalidArgument(
                f"the version has {num_bytes} bytes; at most {self._config.max_upload_mib} MiB"
            )

    def _check_epoch(self, alias: str, epoch: int) -> None:
        record = self._store.alias(KIND, alias)
        prepared = self._prepared.get(alias)
        newest = max(record.epoch, record.lease_epoch, prepared.epoch if prepared else 0)
        if epoch < max(newest, 1):
            raise FailedPrecondition(
                f"epoch {epoch} of alias {alias!r} is fenced off by {newest}; acquire a new lease"
            )

    def _shared(self, folder: Path, manifest: Manifest) -> Path:
        roots = [root.resolve() for root in (self._config.home, *self._config.shared_roots)]
        resolved = folder.resolve()
        if not any(resolved.is_relative_to(root) for root in roots):
            raise PermissionDenied(f"{folder} is below none of: {', '.join(map(str, roots))}")
        return resolved

    def _committed_before(self, request: pb.CommitWeightsRequest) -> pb.CommitWeightsResponse:
        """A repeat of a commit that took place is none the worse for it."""
        if not self._is_at(request):
            raise FailedPrecondition(
                f"{request.version} is not prepared for alias {request.alias!r} under epoch"
                f" {request.epoch}; prepare it first"
            )
        return self._response(request.alias, 0.0)

    def _is_at(self, request: pb.CommitWeightsRequest) -> bool:
        """Whether the alias is there already: the publisher may have written it itself."""
        record = self._store.alias(KIND, request.alias)
        return (record.version, record.epoch) == (request.version, request.epoch)

    def _response(self, alias: str, stall_s: float) -> pb.CommitWeightsResponse:
        record = self._store.alias(KIND, alias)
        state = versions_pb2.AliasState(
            alias=alias, version=record.version or "", epoch=record.epoch
        )
        return pb.CommitWeightsResponse(alias=state, stall_s=stall_s)

    def _drop(self, alias: str) -> None:
        prepared = self._prepared.pop(alias, None)
        if prepared is not None:
            prepared.close()

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        folder = self._config.home / "uploads" / uuid.uuid4().hex
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
