"""Versions on disk: immutable folders named by their digest, and aliases that choose among them.

    <root>/<kind>/versions/<version>/{manifest.json, files…}
    <root>/<kind>/aliases/<alias>.json      ("/" in an alias is written "%2F")

A publisher first acquires a lease on an alias, which hands out the next fencing epoch; an alias can
only be moved under an epoch that is not older than the one that moved it last (DESIGN law 7).
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, unquote

from pydantic import BaseModel, ConfigDict, ValidationError

from services.common.errors import DataLoss, FailedPrecondition, InvalidArgument, NotFound

MANIFEST, _ALIASES = "manifest.json", "aliases"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Leaves room for a suffix in the 255 bytes that file systems give a name.
_MAX_ALIAS_BYTES = 200


class ManifestFile(BaseModel):
    """One file of a version."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    size_bytes: int
    sha256: str


class Manifest(BaseModel):
    """What a version consists of; `version` is derived from the digest of all the rest."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: str
    kind: str
    files: tuple[ManifestFile, ...]
    metadata: dict[str, str]
    preprocessing_fingerprint: str


class AliasRecord(BaseModel):
    """Where an alias points; `epoch` moved it, `lease_epoch` is the newest handed out."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    alias: str
    version: str | None = None
    epoch: int = 0
    lease_epoch: int = 0
    lease_owner: str | None = None
    lease_expires_s: float = 0.0


class VersionStore:
    """A directory of versions and aliases; safe among processes on one file system."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(
        self, kind: str, folder: Path, fingerprint: str, metadata: Mapping[str, str] | None = None
    ) -> Manifest:
        """Copies the files of `folder` in as a version. The same content gives the same version."""
        manifest = describe(kind, folder, fingerprint, dict(metadata or {}))
        if not (self._versions(kind) / manifest.version).exists():
            with self.incoming(kind, manifest) as scratch:
                copy_files(folder, scratch, manifest)
        return manifest

    @contextmanager
    def incoming(self, kind: str, manifest: Manifest) -> Iterator[Path]:
        """An empty folder for the files of a version, which is in the store once the context ends
        well; whoever fills it checks them. Raises DataLoss for a name that does not follow."""
        check_name(manifest)
        target = self._versions(kind) / manifest.version
        scratch = self._scratch(kind, manifest.version)
        scratch.mkdir(parents=True)
        try:
            yield scratch
            _settle(scratch, manifest)
            scratch.rename(target)
            _sync(target.parent)
        except OSError:
            if not target.exists():  # else another process was first with the same content
                raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def folder(self, kind: str, version: str) -> Path:
        """The folder of a version. Raises NotFound."""
        path = self._versions(kind) / version
        if not _PLAIN_NAME.fullmatch(version) or not (path / MANIFEST).exists():
            known = ", ".join(self.versions(kind)[-5:]) or "none"
            raise NotFound(f"no {kind} version {version!r} in the store; the newest are: {known}")
        return path

    def manifest(self, kind: str, version: str) -> Manifest:
        """The manifest of a version. Raises NotFound; DataLoss if it cannot be read."""
        path = self.folder(kind, version) / MANIFEST
        try:
            return Manifest.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise DataLoss(f"{path} is not a manifest: {error.errors()[0]['msg']}") from error

    def versions(self, kind: str) -> list[str]:
        """All versions of a kind, oldest first."""
        dated: list[tuple[int, str]] = []
        for path in self._versions(kind).glob("[!.]*"):
            with suppress(FileNotFoundError):  # removed meanwhile
                dated.append(((path / MANIFEST).stat().st_mtime_ns, path.name))
        return [name for _, name in sorted(dated)]

    def remove(self, kind: str, version: str) -> None:
        """Deletes a version. Raises NotFound; FailedPrecondition while an alias names it."""
        holders = [a.alias for a in self.aliases(kind) if a.version == version]
        if holders:
            raise FailedPrecondition(f"{version} is named by {', '.join(holders)}; move it first")
        scratch = self._scratch(kind, version)
        self.folder(kind, version).rename(scratch)  # so that no half of it is ever seen
        shutil.rmtree(scratch)

    def aliases(self, kind: str) -> list[AliasRecord]:
        """All aliases of a kind that point somewhere, by name."""
        names = sorted(unquote(p.stem) for p in self._aliases(kind).glob("*.json"))
        records = [self.alias(kind, name) for name in names]
        return [r for r in records if r.version is not None]

    def alias(self, kind: str, alias: str) -> AliasRecord:
        """An alias's record; one that was never set has no version."""
        try:
            with open(self._alias_path(kind, alias), "rb") as file:
                return _alias_record(file.read())
        except FileNotFoundError:
            return AliasRecord(alias=alias)

    def resolve(self, kind: str, alias: str) -> str:
        """The version an alias names. Raises NotFound."""
        version = self.alias(kind, alias).version
        if version is None:
            known = ", ".join(a.alias for a in self.aliases(kind)) or "none"
            raise NotFound(f"no {kind} alias {alias!r}; there are: {known}")
        return version

    def acquire_lease(self, kind: str, alias: str, owner: str, ttl_s: float) -> int:
        """The next epoch of an alias. Raises FailedPrecondition while another owner holds it."""
        with self._locked(kind, alias) as record:
            held = record.lease_owner not in (None, owner) and record.lease_expires_s > time.time()
            if held:
                left_s = record.lease_expires_s - time.time()
                raise FailedPrecondition(
                    f"alias {alias!r} is leased to {record.lease_owner} for {left_s:.0f} s more"
                )
            epoch = max(record.epoch, record.lease_epoch) + 1
            lease = {
                "lease_epoch": epoch,
                "lease_owner": owner,
                "lease_expires_s": time.time() + ttl_s,
            }
            self._write(kind, record.model_copy(update=lease))
            return epoch

    def release_lease(self, kind: str, alias: str, owner: str) -> None:
        """Lets others have the alias before the lease expires; nothing if it is not the owner's."""
        with self._locked(kind, alias) as record:
            if record.lease_owner == owner:
                self._write(kind, record.model_copy(update={"lease_expires_s": 0.0}))

    def set_alias(self, kind: str, alias: str, version: str, epoch: int) -> AliasRecord:
        """Points an alias at a version. Raises NotFound; FailedPrecondition for an older epoch."""
        self.folder(kind, version)
        with self._locked(kind, alias) as record:
            if epoch < max(record.epoch, record.lease_epoch):
                raise FailedPrecondition(
                    f"epoch {epoch} of alias {alias!r} is fenced off by {record.lease_epoch}; "
                    "acquire a new lease"
                )
            moved = record.model_copy(update={"version": version, "epoch": epoch})
            self._write(kind, moved)
            return moved

    def _versions(self, kind: str) -> Path:
        return self._kind(kind) / "versions"

    def _aliases(self, kind: str) -> Path:
        return self._kind(kind) / _ALIASES

    def _kind(self, kind: str) -> Path:
        return _kind_folder(self.root, kind)

    def _alias_path(self, kind: str, alias: str) -> Path:
        return _alias_path(self.root, kind, alias)

    def _scratch(self, kind: str, version: str) -> Path:
        return self._versions(kind) / f".{version}.{uuid.uuid4().hex}"

    def _write(self, kind: str, record: AliasRecord) -> None:
        path = self._alias_path(kind, record.alias)
        scratch = path.with_suffix(f".{uuid.uuid4().hex}")
        _write_durably(scratch, record.model_dump_json(indent=1))
        scratch.replace(path)
        _sync(path.parent)

    @contextmanager
    def _locked(self, kind: str, alias: str) -> Iterator[AliasRecord]:
        self._aliases(kind).mkdir(parents=True, exist_ok=True)
        with open(self._alias_path(kind, alias).with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self.alias(kind, alias)


def _kind_folder(root: Path, kind: str) -> Path:
    if not _PLAIN_NAME.fullmatch(kind):
        raise InvalidArgument(f"kind {kind!r} must be a plain name such as 'policy'")
    return root / kind


# Every request looks an alias up, and most of that was the making of paths and records.
@lru_cache(1024)
def _alias_path(root: Path, kind: str, alias: str) -> Path:
    name = quote(alias, safe="")
    if not 0 < len(name) <= _MAX_ALIAS_BYTES:
        raise InvalidArgument(
            f"alias {alias[:80]!r} takes {len(name)} bytes when quoted; use 1 to {_MAX_ALIAS_BYTES}"
        )
    return _kind_folder(root, kind) / _ALIASES / f"{name}.json"


@lru_cache(64)
def _alias_record(text: bytes) -> AliasRecord:
    return AliasRecord.model_validate_json(text)


def copy_files(source: Path, target: Path, manifest: Manifest) -> None:
    """The files that a manifest names. Raises DataLoss where one is missing or of another size."""
    check_sizes(source, manifest)
    for file in manifest.files:
        shutil.copyfile(source / file.name, target / file.name)


def _settle(folder: Path, manifest: Manifest) -> None:
    """Has a version's files and manifest on the disk."""
    for file in manifest.files:
        _sync(folder / file.name)
    _write_durably(folder / MANIFEST, manifest.model_dump_json(indent=1))
    _sync(folder)


def _write_durably(path: Path, text: str) -> None:
    path.write_text(text)
    _sync(path)


def _sync(path: Path) -> None:
    """Waits until a file's content, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def describe(kind: str, folder: Path, fingerprint: str, metadata: dict[str, str]) -> Manifest:
    """Hashes the files of a folder into a manifest, without storing anything."""
    names = sorted(p.name for p in folder.iterdir() if p.is_file() and p.name != MANIFEST)
    files = tuple(
        ManifestFile(name=n, size_bytes=(folder / n).stat().st_size, sha256=file_sha256(folder / n))
        for n in names
    )
    return Manifest(
        version=version_name(kind, files, metadata, fingerprint),
        kind=kind,
        files=files,
        metadata=metadata,
        preprocessing_fingerprint=fingerprint,
    )


def version_name(
    kind: str, files: tuple[ManifestFile, ...], metadata: dict[str, str], fingerprint: str
) -> str:
    """The name that follows from a version's content."""
    content = [kind, [f.model_dump() for f in files], metadata, fingerprint]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return f"{kind}-{digest[:16]}"


def verify(folder: Path, manifest: Manifest) -> None:
    """Raises DataLoss where a file is missing or differs, or the name does not follow from them."""
    check_name(manifest)
    check_sizes(folder, manifest)
    for file in manifest.files:
        if file_sha256(folder / file.name) != file.sha256:
            raise DataLoss(f"{file.name} of {manifest.version} does not match its checksum")


def check_name(manifest: Manifest) -> None:
    """Raises DataLoss where a version's name does not follow from its manifest."""
    named = version_name(
        manifest.kind, manifest.files, manifest.metadata, manifest.preprocessing_fingerprint
    )
    if named != manifest.version:
        raise DataLoss(f"a manifest calls itself {manifest.version}, its content is {named}")


def check_sizes(folder: Path, manifest: Manifest) -> None:
    """Raises DataLoss where a file is missing or of another size; what it holds is not read."""
    for file in manifest.files:
        path = folder / file.name
        if not path.is_file() or os.path.getsize(path) != file.size_bytes:
            raise DataLoss(f"{file.name} of {manifest.version} is missing or not whole")


def file_sha256(path: Path) -> str:
    """Lower-case hex digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
