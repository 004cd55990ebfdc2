"""Publishes weights by law 7: a lease with a fencing epoch, prepare, commit, or abort.

The policy service reads the version from the store's folder, which both see.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

import grpc

from models import checkpoint
from models.omni import OmniModel
from models.preprocessing.prompt import Preprocessor
from protos.v1 import policy_generator_pb2 as pb
from protos.v1 import policy_generator_pb2_grpc
from services.common.codecs import manifest_to_proto
from services.common.errors import AttuneError, FailedPrecondition
from services.common.version_store import Manifest, VersionStore
from services.trainer.kinds import POLICY
from services.trainer.patience import Patience

_LEASE_S = 600.0
_TRIES = 3
_KEPT = 2


class Publisher:
    """Moves aliases to a run's versions, and removes those of its own that nobody needs."""

    def __init__(
        self, channel: grpc.Channel, store: VersionStore, run_id: str, patience: Patience
    ) -> None:
        self._stub = policy_generator_pb2_grpc.PolicyGeneratorStub(channel)
        self._store = store
        self._run_id = run_id
        self._patience = patience

    def put(
        self,
        scratch: Path,
        model: OmniModel,
        preprocessor: Preprocessor,
        metadata: Mapping[str, str],
    ) -> Manifest:
        """Puts weights into the store as a version."""
        shutil.rmtree(scratch, ignore_errors=True)
        checkpoint.save(scratch, model, preprocessor)
        manifest = self._store.put(POLICY, scratch, preprocessor.fingerprint, metadata)
        shutil.rmtree(scratch)
        return manifest

    def publish(self, alias: str, manifest: Manifest) -> None:
        """Has the alias serve the version. Serving goes on with the old one until it does."""
        for tries_left in reversed(range(_TRIES)):
            epoch = self._store.acquire_lease(POLICY, alias, self._run_id, _LEASE_S)
            try:
                self._prepare(alias, epoch, manifest)
                self._commit(alias, epoch, manifest.version)
                self._store.release_lease(POLICY, alias, self._run_id)
                return
            except FailedPrecondition:  # the service restarted between the phases
                self._abort(alias, epoch, manifest.version)
                if not tries_left:
                    raise

    def remove_old(self, keep: str) -> None:
        """Removes the run's versions but the newest two, `keep`, and those that aliases name."""
        named = {record.version for record in self._store.aliases(POLICY)}
        own = [
            version
            for version in self._store.versions(POLICY)
            if self._store.manifest(POLICY, version).metadata.get("run") == self._run_id
        ]
        for version in own[:-_KEPT]:
            if version not in named and version != keep:
                self._store.remove(POLICY, version)

    def _prepare(self, alias: str, epoch: int, manifest: Manifest) -> None:
        header = pb.PrepareWeightsHeader(
            request_id=f"{self._run_id}/prepare/{alias}/{epoch}",
            alias=alias,
            epoch=epoch,
            manifest=manifest_to_proto(manifest),
            shared_folder=str(self._store.folder(POLICY, manifest.version)),
        )
        requests = [pb.PrepareWeightsRequest(header=header)]
        self._patience.call(
            "the policy service's PrepareWeights",
            lambda t: self._stub.PrepareWeights(iter(requests), timeout=t),
        )

    def _commit(self, alias: str, epoch: int, version: str) -> None:
        request = pb.CommitWeightsRequest(
            request_id=f"{self._run_id}/commit/{alias}/{epoch}",
            alias=alias,
            epoch=epoch,
            version=version,
        )
        self._patience.call(
            "the policy service's CommitWeights",
            lambda t: self._stub.CommitWeights(request, timeout=t),
        )

    def _abort(self, alias: str, epoch: int, version: str) -> None:
        request = pb.AbortWeightsRequest(
            request_id=f"{self._run_id}/abort/{alias}/{epoch}",
            alias=alias,
            epoch=epoch,
            version=version,
        )
        try:
            self._patience.call(
                "the policy service's AbortWeights",
                lambda t: self._stub.AbortWeights(request, timeout=t),
            )
        except AttuneError as error:  # it forgets what was prepared by itself
            self._patience.report(f"abort of {version} failed: {error}")
