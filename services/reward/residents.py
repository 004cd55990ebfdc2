"""The scorers that are resident, by name, and the changes to them: load, unload, alias.

A change becomes visible only when it is complete: a scorer once it is warm, an alias after that.
Scoring never waits for a change.
"""

import asyncio
import itertools
from collections.abc import Awaitable

from protos.v1.versions_pb2 import ModelRef
from services.common.errors import (
    AttuneError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
)
from services.common.logs import get_logger
from services.reward.aliases import AliasBook, AliasEntry
from services.reward.catalog import (
    BlendRecord,
    BlendTermRecord,
    Catalog,
    Record,
    VersionRecord,
    blend_record,
)
from services.reward.factory import DescribedUser, ScorerFactory
from services.reward.metrics import RewardMetrics
from services.reward.scorers.blend import BlendScorer
from services.reward.scorers.blend_rule import BlendRule
from services.reward.scorers.contract import Scorer


class Residents:
    """Owns the scorers. Changes take turns; `resolve` is answered at any time."""

    def __init__(
        self,
        factory: ScorerFactory,
        aliases: AliasBook,
        catalog: Catalog,
        metrics: RewardMetrics,
        max_versions: int,
    ) -> None:
        self._factory = factory
        self._aliases = aliases
        self._catalog = catalog
        self._metrics = metrics
        self._max_versions = max_versions
        self._scorers: dict[str, Scorer] = {}
        self._last_use: dict[str, int] = {}
        self._uses = itertools.count()
        self._changing = asyncio.Lock()

    async def restore(self) -> None:
        """Brings back programs, the catalogue, and what aliases name. What fails is logged."""
        for program in self._factory.programs():
            self._add(program)
        for record in self._catalog.records():
            await _logging_failure(record.name, self._restore_record(record))
        for entry in self._aliases.entries():
            if entry.name not in self._scorers and not _is_local(entry.name):
                await _logging_failure(entry.name, self.load_version(entry.name))

    async def close(self) -> None:
        """Closes every scorer; blends first, since they use the others."""
        for name in reversed(list(self._scorers)):
            await self._scorers.pop(name).close()

    def resolve(self, ref: ModelRef) -> Scorer:
        """The scorer that a request names. Raises NotFound, FailedPrecondition."""
        kind = ref.WhichOneof("ref")
        if kind is None:
            raise InvalidArgument("model is not set; name an alias or a version")
        scorer = self.named(ref.version) if kind == "version" else self._aliased(ref.alias)
        self._last_use[scorer.info.name] = next(self._uses)
        return scorer

    def named(self, name: str) -> Scorer:
        """A resident scorer by its own name. Raises NotFound."""
        if name not in self._scorers:
            known = ", ".join(self._scorers)
            raise NotFound(f"{name!r} is not resident; LoadModel it, or use one of: {known}")
        return self._scorers[name]

    def is_resident(self, name: str) -> bool:
        """Whether a scorer of this name can be asked now."""
        return name in self._scorers

    def scorers(self) -> list[Scorer]:
        """All residents, in the order in which they were loaded."""
        return list(self._scorers.values())

    def alias_entries(self) -> list[AliasEntry]:
        """All aliases, by name, those included whose scorer could not be brought back."""
        return self._aliases.entries()

    def aliases_of(self, name: str) -> list[str]:
        """The aliases that name a scorer."""
        return self._aliases.aliases_of(name)

    async def load_version(self, version: str) -> Scorer:
        """Makes a version of the store resident; one that nothing names may have to make place."""
        async with self._changing:
            if version in self._scorers:
                return self._scorers[version]
            leaving = self._to_make_place()
            scorer = await self._factory.version(version)
            if leaving is not None:
                await self._drop(leaving)
            return await self._keep(scorer, VersionRecord(name=version))

    async def load_user(self, described: DescribedUser) -> Scorer:
        """Starts a user's function."""
        async with self._changing:
            name = described.record.name
            if name in self._scorers:
                return self._scorers[name]
            return await self._keep(await self._factory.user(described), described.record)

    async def load_blend(self, terms: list[tuple[ModelRef, float]], rule: BlendRule) -> Scorer:
        """Blends residents; an alias stands for the scorer that it names now."""
        names = [self.resolve(ref).info.name for ref, _ in terms]
        if not names or len(set(names)) < len(names):
            raise InvalidArgument(f"a blend needs one or more distinct terms; it has {names}")
        record = blend_record(
            tuple(
                BlendTermRecord(name=name, weight=weight)
                for name, (_, weight) in zip(names, terms, strict=True)
            ),
            rule,
        )
        async with self._changing:
            if record.name in self._scorers:
                return self._scorers[record.name]
            return await self._keep(self._factory.blend(record, self.named), record)

    async def unload(self, name: str) -> None:
        """Drops a scorer once its calls have ended. Raises FailedPrecondition while it is named."""
        async with self._changing:
            scorer = self.named(name)
            if scorer.info.kind == "program":
                raise FailedPrecondition(f"{name} is part of the service; it cannot be unloaded")
            if holders := self._holders(name):
                raise FailedPrecondition(f"{name} is named by {', '.join(holders)}; move it first")
            await self._drop(name)

    async def set_alias(self, alias: str, name: str, epoch: int) -> AliasEntry:
        """Points an alias at a resident. Raises NotFound; FailedPrecondition for an old epoch."""
        async with self._changing:
            in_store = self.named(name).info.kind == "onnx"
            return await asyncio.to_thread(self._aliases.move, alias, name, epoch, in_store)

    def _aliased(self, alias: str) -> Scorer:
        entry = self._aliases.get(alias)
        if entry is None:
            known = ", ".join(e.alias for e in self._aliases.entries()) or "none"
            raise NotFound(f"no reward alias {alias!r}; there are: {known}")
        if entry.name not in self._scorers:
            raise FailedPrecondition(
                f"alias {alias!r} names {entry.name}, which is not resident; LoadModel it"
            )
        return self._scorers[entry.name]

    def _add(self, scorer: Scorer) -> Scorer:
        self._scorers[scorer.info.name] = scorer
        self._last_use[scorer.info.name] = next(self._uses)
        self._metrics.count_residents(s.info.kind for s in self._scorers.values())
        return scorer

    async def _keep(self, scorer: Scorer, record: Record) -> Scorer:
        """Adds a scorer that a restart shall bring back."""
        await asyncio.to_thread(self._catalog.put, record)
        return self._add(scorer)

    async def _drop(self, name: str) -> None:
        await asyncio.to_thread(self._catalog.remove, name)
        scorer = self._scorers.pop(name)
        del self._last_use[name]
        await scorer.close()
        self._metrics.forget(name)
        self._metrics.count_residents(s.info.kind for s in self._scorers.values())

    def _to_make_place(self) -> str | None:
        """The version that has to leave: of those that nothing names, the longest unused."""
        versions = [name for name, s in self._scorers.items() if s.info.kind == "onnx"]
        if len(versions) < self._max_versions:
            return None
        free = [name for name in versions if not self._holders(name)]
        if not free:
            raise ResourceExhausted(
                f"{len(versions)} reward models are resident and all are named by an alias or a "
                "blend; unload one, or raise max_resident"
            )
        return min(free, key=self._last_use.__getitem__)

    def _holders(self, name: str) -> list[str]:
        """Aliases and blends that need a scorer."""
        blends = [
            s.info.name
            for s in self._scorers.values()
            if isinstance(s, BlendScorer) and name in (t.scorer.info.name for t in s.terms)
        ]
        return self._aliases.aliases_of(name) + blends

    async def _restore_record(self, record: Record) -> Scorer:
        if isinstance(record, VersionRecord):
            return await self.load_version(record.name)
        if isinstance(record, BlendRecord):
            return self._add(self._factory.blend(record, self.named))
        described = self._factory.describe_user(
            str(record.file), record.function, record.deadline_s
        )
        if described.record.name != record.name:
            raise FailedPrecondition(f"{record.file} has changed since; load it again")
        return self._add(await self._factory.user(described))


def _is_local(name: str) -> bool:
    return "/" in name


async def _logging_failure(name: str, restoring: Awaitable[Scorer]) -> None:
    try:
        await restoring
    except AttuneError as error:
        get_logger(__name__).error("scorer not restored", scorer=name, error=str(error))
