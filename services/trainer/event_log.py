"""A run's events: an append-only file with one writer at a time, which WatchRun and metrics follow.

The worker writes while it lives (it holds the run's lock), the orchestrator before and after.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from protos.v1 import training_orchestrator_pb2 as pb
from services.trainer.framing import frame, read_frames

_EVENT = b"E"


class EventWriter:
    """Appends events; each is on its way to readers when `append` returns."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self._file = path.open("r+b")
        self.last_sequence = 0
        self.last_metrics_step = 0
        for event in _events(self._file):
            self.last_sequence = event.sequence
            if event.WhichOneof("kind") == "metrics":
                self.last_metrics_step = event.step
        self._file.truncate()  # what a writer that died left unfinished

    def append(self, event: pb.RunEvent) -> None:
        """Numbers and dates the event, and writes it."""
        self.last_sequence += 1
        event.sequence = self.last_sequence
        event.at_s = time.time()
        self._file.write(frame(_EVENT, event.SerializeToString()))
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class EventReader:
    """Reads events that come after those it has read."""

    def __init__(self, path: Path, after_sequence: int = 0) -> None:
        self._path = path
        self._after_sequence = after_sequence
        self._offset = 0

    def read(self) -> list[pb.RunEvent]:
        """What has been written since the last call; empty if the file is not there yet."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            events = [e for e in _events(file) if e.sequence > self._after_sequence]
            self._offset = file.tell()
        return events


def _events(file: BinaryIO) -> Iterator[pb.RunEvent]:
    for _, payload in read_frames(file):
        yield pb.RunEvent.FromString(payload)
