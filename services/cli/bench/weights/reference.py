"""What no publication can avoid: the bytes copied once from the disk, and hashed once."""

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from services.common.version_store import file_sha256


def cold_copy_and_hash_s(files: Sequence[Path], scratch: Path) -> float:
    """Seconds of a copy out of the page cache's reach, left to the system to write (no fsync), and
    of one SHA-256 of the copy; one after the other, on one thread."""
    forget_cached(files)
    scratch.mkdir()
    started_s = time.perf_counter()
    for file in files:
        shutil.copyfile(file, scratch / file.name)
    for file in files:
        file_sha256(scratch / file.name)
    elapsed_s = time.perf_counter() - started_s
    shutil.rmtree(scratch)
    return elapsed_s


def forget_cached(files: Sequence[Path]) -> None:
    """Has the system read these from the disk when they are next asked for."""
    for file in files:
        with open(file, "rb") as opened:
            os.fsync(opened.fileno())  # what is not written yet cannot be forgotten
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
