"""Media bytes in files named by their sha256, sharded by its first byte: `blobs/ab/abcd…`.

A file appears whole or not at all: written beside, synced, then renamed. Blobs that no event names
(a refused judgement, a crash between file and commit) do no harm.
"""

import hashlib
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from models.preprocessing.media_types import HEAD_BYTES
from services.common.errors import DataLoss, InvalidArgument

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHUNK_BYTES = 1 << 20
_ABANDONED_AFTER_S = 24 * 3600


class BlobStore:
    """A folder of blobs; safe among threads and processes."""

    def __init__(self, root: Path, count_bytes: Callable[[int], None]) -> None:
        self._root = root
        self.count_bytes = count_bytes
        self._incoming = root / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._remove_abandoned()

    def put(self, data: bytes) -> str:
        """Stores bytes durably and returns their sha256; what is there already stays."""
        sha256 = hashlib.sha256(data).hexdigest()
        if self.size_bytes(sha256) is None:
            writer = self.writer()
            try:
                writer.add(data)
                writer.finish()
            finally:
                writer.discard()
        return sha256

    def writer(self) -> "BlobWriter":
        """Takes a blob in pieces."""
        return BlobWriter(self, self._incoming / uuid.uuid4().hex)

    def size_bytes(self, sha256: str) -> int | None:
        """How large a blob is; None if it is not held."""
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def read(self, sha256: str) -> bytes:
        """A whole blob. Raises FileNotFoundError; DataLoss if it was damaged."""
        return b"".join(self.chunks(sha256))

    def chunks(self, sha256: str) -> Iterator[bytes]:
        """A blob in pieces; DataLoss after the last one if it was damaged."""
        running = hashlib.sha256()
        with open(self.path(sha256), "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                running.update(chunk)
                yield chunk
        if running.hexdigest() != sha256:
            raise DataLoss(f"media {sha256} do not match their hash; restore them from a backup")

    def path(self, sha256: str) -> Path:
        """Where a blob lies or would lie."""
        return self._root / check_sha256(sha256)[:2] / sha256

    def _remove_abandoned(self) -> None:
        """Uploads that a killed process left; younger ones may be another process's."""
        for path in self._incoming.iterdir():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - _ABANDONED_AFTER_S:
                    path.unlink()


class BlobWriter:
    """A blob on its way in. `discard` after use, whether it was finished or not."""

    def __init__(self, store: BlobStore, path: Path) -> None:
        self._store, self._path = store, path
        self._file: BinaryIO = open(path, "xb")  # noqa: SIM115 (closed by finish or discard)
        self._sha256 = hashlib.sha256()
        self.size_bytes = 0
        self.head = b""

    def add(self, data: bytes) -> None:
        """Appends bytes."""
        self._file.write(data)
        self._sha256.update(data)
        self.size_bytes += len(data)
        self.head += data[: HEAD_BYTES - len(self.head)]

    def finish(self) -> str:
        """Puts the blob in its place durably; returns its sha256."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        sha256 = self._sha256.hexdigest()
        target = self._store.path(sha256)
        target.parent.mkdir(exist_ok=True)
        self._path.replace(target)
        _sync_folder(target.parent)
        self._store.count_bytes(self.size_bytes)
        return sha256

    def discard(self) -> None:
        """Removes what was not finished."""
        self._file.close()
        with suppress(FileNotFoundError):
            self._path.unlink()


def check_sha256(sha256: str) -> str:
    """The hash, if it is one. Raises InvalidArgument."""
    if not _SHA256.fullmatch(sha256):
        raise InvalidArgument(
            f"media sha256 {sha256[:80]!r} must be 64 lower-case hexadecimal digits"
        )
    return sha256


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
