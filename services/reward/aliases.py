"""Which scorer each alias names, under fencing epochs (DESIGN law 7).

An alias of a store version lives in the version store, where a starting replica finds it. One that
names a program, a user's scorer or a blend lives in a file of this service, since the store knows
no such version; the store's leases fence it all the same.
"""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from services.common.errors import DataLoss, FailedPrecondition, InvalidArgument
from services.common.version_store import VersionStore

KIND = "reward"


class AliasEntry(BaseModel):
    """Where an alias points and the epoch that moved it there."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    alias: str
    name: str
    epoch: int


class _LocalAliases(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    aliases: tuple[AliasEntry, ...] = ()


class AliasBook:
    """Every alias that this replica serves. A move is on disk when it returns."""

    def __init__(self, store: VersionStore, path: Path) -> None:
        """Takes up what the store and the file say. Raises DataLoss for a damaged file."""
        self._store = store
        self._path = path
        self._local = {entry.alias: entry for entry in _read(path).aliases}
        self._entries = {
            record.alias: AliasEntry(alias=record.alias, name=record.version, epoch=record.epoch)
            for record in store.aliases(KIND)
            if record.version is not None
        }
        for alias, entry in self._local.items():
            stored = self._entries.get(alias)
            if stored is None or entry.epoch >= stored.epoch:
                self._entries[alias] = entry

    def get(self, alias: str) -> AliasEntry | None:
        """Where an alias points."""
        return self._entries.get(alias)

    def entries(self) -> list[AliasEntry]:
        """All aliases, by name."""
        return [self._entries[alias] for alias in sorted(self._entries)]

    def aliases_of(self, name: str) -> list[str]:
        """The aliases that name a scorer."""
        return [entry.alias for entry in self.entries() if entry.name == name]

    def move(self, alias: str, name: str, epoch: int, in_store: bool) -> AliasEntry:
        """Points an alias at a scorer. Raises FailedPrecondition for an older epoch."""
        if not alias:
            raise InvalidArgument("the alias is empty; name one")
        self._check_epoch(alias, epoch)
        entry = AliasEntry(alias=alias, name=name, epoch=epoch)
        local = {a: e for a, e in self._local.items() if a != alias}
        if in_store:
            self._store.set_alias(KIND, alias, name, epoch)
        else:
            local[alias] = entry
        if local != self._local:
            _write(self._path, _LocalAliases(aliases=tuple(local.values())))
            self._local = local
        self._entries[alias] = entry
        return entry

    def _check_epoch(self, alias: str, epoch: int) -> None:
        record = self._store.alias(KIND, alias)
        known = self._entries.get(alias)
        newest = max(record.epoch, record.lease_epoch, known.epoch if known else 0)
        if epoch < newest:
            raise FailedPrecondition(
                f"epoch {epoch} of alias {alias!r} is fenced off by {newest}; acquire a new lease"
            )


def _read(path: Path) -> _LocalAliases:
    try:
        return _LocalAliases.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return _LocalAliases()
    except ValidationError as error:
        raise DataLoss(f"{path} is not a list of aliases: {error}; remove it") from error


def _write(path: Path, aliases: _LocalAliases) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with open(partial, "w") as file:
        file.write(aliases.model_dump_json(indent=1))
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
