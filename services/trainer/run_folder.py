"""A run's folder and its record, the only state that the orchestrator and the worker share.

    <home>/runs/RUN_ID/
        recipe.toml  run.json  launch.json  events.bin  run.lock  stop.json  worker.log
        initial/     checkpoints/step-N/    replay/step-N.segment

Whoever holds `run.lock` writes; the kernel lets go of it when a process dies, however it dies.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class RunState(StrEnum):
    """Where a run is; names as in the proto."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"
    INTERRUPTED = "INTERRUPTED"

    @property
    def is_final(self) -> bool:
        """The run's process has ended and will not come back by itself."""
        return self not in (RunState.QUEUED, RunState.RUNNING, RunState.STOPPING)


class _Saved(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LaunchSettings(_Saved):
    """What the orchestrator tells a worker that the recipe does not say."""

    home: Path
    policy_address: str
    reward_address: str
    feedback_address: str
    threads: int
    patience_s: float
    call_timeout_s: float


class RunRecord(_Saved):
    """run.json. `elapsed_s` counts over all sessions; `requests` maps ids to body digests."""

    run_id: str
    name: str
    stage: str
    state: RunState = RunState.QUEUED
    step: int = 0
    total_steps: int = 0
    created_at_s: float
    updated_at_s: float
    elapsed_s: float = 0.0
    initial_version: str = ""
    latest_version: str = ""
    reward_version: str = ""
    alias: str = ""
    error: str = ""
    ended_by: str = ""
    weights_sha256: str = ""
    requests: dict[str, str] = {}


class RunFolder:
    """Paths and atomic access; makes nothing until told to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.toml"
        self.events = path / "events.bin"
        self.worker_log = path / "worker.log"
        self.initial = path / "initial"
        self.checkpoints = path / "checkpoints"
        self.replay = path / "replay"
        self.fingerprints = path / "fingerprints.json"
        self.snapshot = path / "snapshot.bin"
        self._record = path / "run.json"
        self._launch = path / "launch.json"
        self._stop = path / "stop.json"
        self._lock = path / "run.lock"

    def record(self) -> RunRecord:
        """run.json; a running run that was asked to stop reads as STOPPING."""
        record = RunRecord.model_validate_json(self._record.read_bytes())
        if record.state is RunState.RUNNING and self._stop.exists():
            return record.model_copy(update={"state": RunState.STOPPING})
        return record

    def write_record(self, record: RunRecord) -> None:
        """Replaces run.json and dates it."""
        dated = record.model_copy(update={"updated_at_s": time.time()})
        replace_file(self._record, dated.model_dump_json(indent=1).encode())

    def launch_settings(self) -> LaunchSettings:
        return LaunchSettings.model_validate_json(self._launch.read_bytes())

    def write_launch_settings(self, settings: LaunchSettings) -> None:
        replace_file(self._launch, settings.model_dump_json(indent=1).encode())

    def ask_to_stop(self, checkpoint: bool) -> None:
        """The worker looks between steps and while it waits for a service."""
        replace_file(self._stop, json.dumps({"checkpoint": checkpoint}).encode())

    def stop_asked(self) -> bool:
        return self._stop.exists()

    def stop_wants_checkpoint(self) -> bool:
        """True also when nobody asked."""
        return not self._stop.exists() or bool(json.loads(self._stop.read_bytes())["checkpoint"])

    def forget_stop(self) -> None:
        self._stop.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the run; writes the process's id into the lock. Raises BlockingIOError if held."""
        with open(self._lock, "a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def holder(self) -> int | None:
        """The process that holds the run now, or None."""
        if not self._lock.exists():
            return None
        with open(self._lock) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None
            except BlockingIOError:
                pid = lock.read()
                return int(pid) if pid else None


def replace_file(path: Path, content: bytes, durably: bool = False) -> None:
    """Writes a file whole or not at all; `durably` waits for the disk."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with open(scratch, "wb") as file:
        file.write(content)
        if durably:
            file.flush()
            os.fsync(file.fileno())
    scratch.replace(path)
    if durably:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
