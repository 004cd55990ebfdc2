"""The versions in memory: who uses them and when they are freed.

The version store says where aliases point, so a replica that missed a commit, or has just started,
catches up at the next request. Used on the event loop only.
"""

import asyncio
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from protos.v1.versions_pb2 import ModelRef
from services.common.errors import FailedPrecondition, InvalidArgument
from services.common.freed_memory import return_freed_memory
from services.common.version_store import VersionStore
from services.policy.engine.engine import Engine
from services.policy.engine.request import Job
from services.policy.engine.served_model import ServedModel
from services.policy.loading import VersionLoader

KIND = "policy"


@dataclass(slots=True, eq=False)
class Resident:
    """A version in memory; `num_users` counts those that hold it."""

    served: ServedModel
    loaded_at_s: float = field(default_factory=time.time)  # Unix time
    num_users: int = 0
    last_use: int = 0


class Residents:
    """Loads versions when they are asked for; frees those that nobody needs."""

    def __init__(
        self,
        store: VersionStore,
        engine: Engine,
        loader: VersionLoader,
        kept_retired: int,
        max_resident: int,
    ) -> None:
        self.store = store
        self.engine = engine
        self.loader = loader
        self._kept_retired = kept_retired
        self._max_resident = max_resident
        self._residents: dict[str, Resident] = {}
        self._loading: dict[str, asyncio.Task[Resident]] = {}
        self._uses = itertools.count(1)
        self._followers: dict[Job, tuple[str, Lease]] = {}

    def __iter__(self) -> Iterator[Resident]:
        return iter(list(self._residents.values()))

    def __len__(self) -> int:
        return len(self._residents)

    async def lease(self, ref: ModelRef) -> "Lease":
        """Holds the version that a request names.

        Raises InvalidArgument, NotFound, and FailedPrecondition where it cannot be used.
        """
        kind = ref.WhichOneof("ref")
        if kind is None:
            raise InvalidArgument("model is not set; name an alias or a version")
        version = self.store.resolve(KIND, ref.alias) if kind == "alias" else ref.version
        try:
            return await self.lease_version(version)
        except ValueError as error:  # a CheckpointError, or sizes that the kernels do not take
            raise FailedPrecondition(f"{version} cannot be used: {error}") from error

    async def lease_version(self, version: str) -> "Lease":
        """Holds a version of the store, loading it if need be.

        Raises NotFound, DataLoss, ValueError for a model that cannot be used.
        """
        resident = self._residents.get(version)
        return Lease(self, resident or await self._loaded(version))

    def adopt(self, served: ServedModel) -> "Lease":
        """Takes in, and holds, a version that its caller loaded and checked."""
        return Lease(self, Resident(served))

    def hold(self, resident: Resident) -> Resident:
        """Counts one more user; a version is only ever held once in memory."""
        held = self._residents.setdefault(resident.served.version, resident)
        held.num_users += 1
        held.last_use = next(self._uses)
        return held

    def release(self, lease: "Lease") -> None:
        """Ends a lease and frees what nobody needs any more."""
        for resident in lease.residents:
            resident.num_users -= 1
        self._followers = {j: f for j, f in self._followers.items() if f[1] is not lease}
        self._free_idle()

    def follow(self, job: Job, alias: str, lease: "Lease") -> None:
        """Lets a job move on with its alias until the lease ends."""
        self._followers[job] = (alias, lease)

    async def move_followers(self, alias: str, resident: Resident) -> float:
        """Moves the jobs that follow an alias; gives the seconds that the engine stood still."""
        moving: set[Job] = set()
        for job, (followed, lease) in self._followers.items():
            if followed == alias and _can_continue(job.model, resident.served):
                lease.add(resident)
                moving.add(job)
        return await asyncio.wrap_future(self.engine.switch_version(moving, resident.served))

    async def _loaded(self, version: str) -> Resident:
        """Requests that come at the same time share one load."""
        if version not in self._loading:
            task = asyncio.create_task(asyncio.to_thread(self._load, version))
            task.add_done_callback(lambda _: self._loading.pop(version))
            self._loading[version] = task
        return await asyncio.shield(self._loading[version])

    def _load(self, version: str) -> Resident:
        manifest = self.store.manifest(KIND, version)
        with self.engine.lending_a_core():
            return Resident(self.loader.load(self.store.folder(KIND, version), manifest))

    def _free_idle(self) -> None:
        idle = [resident for resident in self if not resident.num_users]
        if len(idle) <= self._kept_retired and len(self) <= self._max_resident:
            return
        named = {record.version for record in self.store.aliases(KIND)}
        idle.sort(key=lambda resident: (resident.served.version in named, resident.last_use))
        num_retired = sum(resident.served.version not in named for resident in idle)
        excess = max(num_retired - self._kept_retired, len(self) - self._max_resident)
        for resident in idle[: max(0, excess)]:
            version = resident.served.version
            del self._residents[version]
            self.engine.drop_version(version)
            return_freed_memory()


class Lease:
    """Keeps versions in memory until the end of its context."""

    def __init__(self, residents: Residents, resident: Resident) -> None:
        self._owner = residents
        self.residents = [residents.hold(resident)]

    @property
    def resident(self) -> Resident:
        """The version that was asked for."""
        return self.residents[0]

    @property
    def served(self) -> ServedModel:
        """Its model."""
        return self.resident.served

    def add(self, resident: Resident) -> None:
        """Keeps another version too."""
        self.residents.append(self._owner.hold(resident))

    def close(self) -> None:
        """Ends it; a second time is without effect."""
        self._owner.release(self)
        self.residents = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _can_continue(old: ServedModel, new: ServedModel) -> bool:
    """Whether tokens of one version mean the same to another, and fit."""
    is_same = old.preprocessor.fingerprint == new.preprocessor.fingerprint
    return is_same and old.context_tokens <= new.context_tokens
