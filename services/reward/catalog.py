"""What was loaded, on disk, so that a restart brings back all that was resident."""

import hashlib
import json
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from services.common.errors import DataLoss
from services.reward.scorers.blend_rule import BlendRule


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class VersionRecord(_Record):
    """A version of the store."""

    name: str


class UserRecord(_Record):
    """A function in a user's file; `name` holds the digest of its source and of this record."""

    name: str
    file: Path
    function: str
    deadline_s: float


class BlendTermRecord(_Record):
    """A resident scorer by its own name, never by an alias, and its weight."""

    name: str
    weight: float


class BlendRecord(_Record):
    """Scorers joined by a rule; `name` holds the digest of both."""

    name: str
    terms: tuple[BlendTermRecord, ...]
    rule: BlendRule = BlendRule()


Record = VersionRecord | UserRecord | BlendRecord


class _Content(_Record):
    versions: tuple[VersionRecord, ...] = ()
    users: tuple[UserRecord, ...] = ()
    blends: tuple[BlendRecord, ...] = ()


class Catalog:
    """The records by name. Blends come last, since they are made of the others."""

    def __init__(self, path: Path) -> None:
        """Raises DataLoss for a damaged file."""
        self._path = path
        content = _read(path)
        records: tuple[Record, ...] = (*content.versions, *content.users, *content.blends)
        self._records = {record.name: record for record in records}

    def records(self) -> list[Record]:
        """Versions, then users' scorers, then blends; each in the order of loading."""
        return list(self._records.values())

    def put(self, record: Record) -> None:
        """Adds a record; on disk when it returns."""
        self._save({**self._records, record.name: record})

    def remove(self, name: str) -> None:
        """Forgets a record, if there is one of that name."""
        if name in self._records:
            self._save({n: r for n, r in self._records.items() if n != name})

    def _save(self, records: dict[str, Record]) -> None:
        content = _Content(
            versions=tuple(r for r in records.values() if isinstance(r, VersionRecord)),
            users=tuple(r for r in records.values() if isinstance(r, UserRecord)),
            blends=tuple(r for r in records.values() if isinstance(r, BlendRecord)),
        )
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_name(self._path.name + ".partial")
        with open(partial, "w") as file:
            file.write(content.model_dump_json(indent=1))
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, self._path)
        self._records = records


def user_record(file: Path, function: str, deadline_s: float, source: str) -> UserRecord:
    """The record of a function, named by all that decides what it does."""
    digest = _digest([str(file), function, deadline_s, source])
    name = f"user/{file.stem}.{function}@{digest}"
    return UserRecord(name=name, file=file, function=function, deadline_s=deadline_s)


def blend_record(terms: tuple[BlendTermRecord, ...], rule: BlendRule = BlendRule()) -> BlendRecord:
    """The record of a blend, named by its terms and its rule."""
    content: list[object] = [[term.name, term.weight] for term in terms]
    if rule != BlendRule():
        content.append([rule.aggregation, rule.std_weight])
    return BlendRecord(name=f"blend/{_digest(content)}", terms=terms, rule=rule)


def _digest(content: list[object]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]


def _read(path: Path) -> _Content:
    try:
        return _Content.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return _Content()
    except ValidationError as error:
        raise DataLoss(f"{path} is not a catalogue of scorers: {error}; remove it") from error
