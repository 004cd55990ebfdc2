"""What is up, in `home/up.json`: written by the supervisor, read by every other command."""

import os
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict


class ProcessRef(BaseModel):
    """A process that cannot be taken for a later one of the same number."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    pid: int
    created_at_s: float

    @classmethod
    def of(cls, pid: int) -> "ProcessRef":
        """The living process of this number."""
        return cls(pid=pid, created_at_s=psutil.Process(pid).create_time())

    def find(self) -> psutil.Process | None:
        """The process, if it still lives."""
        try:
            process = psutil.Process(self.pid)
            is_same = process.create_time() == self.created_at_s
            return process if is_same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


class ServiceState(BaseModel):
    """One service as it was started."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    grpc_name: str | None
    process: ProcessRef
    address: str
    metrics_address: str
    log: Path
    threads: int
    started_at_s: float
    restarts: int = 0


class UpState(BaseModel):
    """The services of one home folder and the process that watches over them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    home: Path
    supervisor: ProcessRef
    started_at_s: float
    services: tuple[ServiceState, ...]

    def address(self, name: str) -> str:
        """host:port of a service."""
        return next(s.address for s in self.services if s.name == name)

    @property
    def is_watched(self) -> bool:
        """Whether the supervisor lives."""
        return self.supervisor.find() is not None


def state_path(home: Path) -> Path:
    """Where the state of a home folder is kept."""
    return home / "up.json"


def read_state(home: Path) -> UpState | None:
    """The state of a home folder; None where nothing of it lives."""
    try:
        state = UpState.model_validate_json(state_path(home).read_text())
    except FileNotFoundError:
        return None
    processes = [state.supervisor, *(s.process for s in state.services)]
    return state if any(p.find() for p in processes) else None


def write_state(state: UpState) -> None:
    """Replaces the state of its home folder."""
    path = state_path(state.home)
    scratch = path.with_suffix(f".{os.getpid()}")
    scratch.write_text(state.model_dump_json(indent=1))
    scratch.replace(path)


def remove_state(home: Path) -> None:
    """Says that nothing is up."""
    state_path(home).unlink(missing_ok=True)
