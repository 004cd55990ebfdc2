"""Answered requests on disk until the feedback service has them: durable, bounded.

The oldest are lost first. One protobuf file per trajectory, named by time and id; a file appears
whole or not at all.
"""

import os
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from google.protobuf.message import DecodeError

from protos.v1.trajectory_pb2 import Trajectory
from services.common.logs import get_logger
from services.policy.metrics import PolicyMetrics

_SUFFIX = ".trajectory"


class Spool:
    """Blocking; called from worker threads, one at a time."""

    def __init__(
        self, folder: Path, max_files: int, max_bytes: int, metrics: PolicyMetrics
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._metrics = metrics
        self._sizes = {path: path.stat().st_size for path in sorted(folder.glob(f"*{_SUFFIX}"))}

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def num_bytes(self) -> int:
        return sum(tuple(self._sizes.values()))

    def put(self, trajectory: Trajectory) -> None:
        """Returns when the trajectory is on the disk."""
        data = trajectory.SerializeToString()
        name = f"{time.time_ns():020d}-{quote(trajectory.trajectory_id, safe='')[:80]}{_SUFFIX}"
        scratch = self._folder / f".{uuid.uuid4().hex}"
        with open(scratch, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(self._folder / name)
        self._sizes[self._folder / name] = len(data)
        self._trim()

    def oldest(self, max_files: int, max_bytes: int) -> dict[Path, Trajectory]:
        """The next to be sent, at least one if there is any; what cannot be read is dropped."""
        batch: dict[Path, Trajectory] = {}
        num_bytes = 0
        for path, size in list(self._sizes.items())[:max_files]:
            num_bytes += size
            if batch and num_bytes > max_bytes:
                break
            try:
                batch[path] = Trajectory.FromString(path.read_bytes())
            except (DecodeError, OSError) as error:
                get_logger(__name__).error("spooled trajectory lost", path=str(path), error=error)
                self._drop([path], "unreadable")
        return batch

    def acknowledge(self, paths: Sequence[Path]) -> None:
        """Deletes what is stored elsewhere now."""
        self._remove(paths)
        self._metrics.spool_pushed.inc(len(paths))

    def reject(self, path: Path) -> None:
        """Drops what the feedback service will never take."""
        self._drop([path], "rejected")

    def _trim(self) -> None:
        while len(self._sizes) > self._max_files or self.num_bytes > self._max_bytes:
            self._drop([next(iter(self._sizes))], "full")

    def _drop(self, paths: Sequence[Path], reason: str) -> None:
        self._remove(paths)
        self._metrics.spool_dropped.labels(reason).inc(len(paths))

    def _remove(self, paths: Sequence[Path]) -> None:
        for path in paths:
            path.unlink(missing_ok=True)
            self._sizes.pop(path, None)
