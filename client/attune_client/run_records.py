"""Training runs and their events as plain values, and the requests that start and stop them."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from os import PathLike
from pathlib import Path

from attune_client.protos.v1 import training_orchestrator_pb2 as pb

TomlValue = str | int | float | bool | Sequence[str | int | float | bool]


class RunState(StrEnum):
    """Where a run stands; an interrupted one can be resumed."""

    QUEUED = "queued"
    RUNNING = "running"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens by itself."""
        return self in _ENDED


_ENDED = (RunState.SUCCEEDED, RunState.FAILED, RunState.STOPPED, RunState.INTERRUPTED)
_STATES = {
    pb.RUN_STATE_QUEUED: RunState.QUEUED,
    pb.RUN_STATE_RUNNING: RunState.RUNNING,
    pb.RUN_STATE_STOPPING: RunState.STOPPING,
    pb.RUN_STATE_SUCCEEDED: RunState.SUCCEEDED,
    pb.RUN_STATE_FAILED: RunState.FAILED,
    pb.RUN_STATE_STOPPED: RunState.STOPPED,
    pb.RUN_STATE_INTERRUPTED: RunState.INTERRUPTED,
}


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it stands. Ask the policy service for `alias` to try what it published."""

    run_id: str
    name: str
    stage: str
    state: RunState
    step: int
    total_steps: int
    alias: str
    initial_version: str | None
    latest_version: str | None
    error: str | None
    proto: pb.Run = field(repr=False)


@dataclass(frozen=True, slots=True)
class RunEvent:
    """Something that a run told. `kind` says which of the fields below it is there."""

    sequence: int
    at_s: float  # Unix time, seconds
    step: int
    kind: str  # "metrics", "state", "log", "sample", "progress", "published"
    metrics: Mapping[str, float] = field(default_factory=dict)
    state: RunState | None = None
    text: str | None = None  # of a log line or a change of state
    version: str | None = None  # that was published
    proto: pb.RunEvent = field(default_factory=pb.RunEvent, repr=False)


def start_request(
    recipe: str | PathLike[str], overrides: Mapping[str, TomlValue]
) -> pb.StartRunRequest:
    """A request under a key of its own. A path is read, and its folder goes along."""
    is_text = isinstance(recipe, str)
    path = None if is_text else Path(recipe).absolute()
    return pb.StartRunRequest(
        request_id=uuid.uuid4().hex,
        recipe_toml=str(recipe) if path is None else path.read_text(),
        # A JSON string, number, boolean or array of them is a TOML one.
        overrides={k: json.dumps(v, ensure_ascii=False) for k, v in overrides.items()},
        recipe_folder="" if path is None else str(path.parent),
    )


def resume_request(run_id: str) -> pb.StartRunRequest:
    """A request under a key of its own."""
    return pb.StartRunRequest(request_id=uuid.uuid4().hex, resume_run_id=run_id)


def stop_request(run_id: str, checkpoint: bool) -> pb.StopRunRequest:
    """A request under a key of its own."""
    return pb.StopRunRequest(request_id=uuid.uuid4().hex, run_id=run_id, checkpoint=checkpoint)


def run_from_proto(run: pb.Run) -> Run:
    """A run as plain values."""
    return Run(
        run_id=run.run_id,
        name=run.name,
        stage=run.stage,
        state=_state(run.state),
        step=run.step,
        total_steps=run.total_steps,
        alias=run.alias,
        initial_version=run.initial_version or None,
        latest_version=run.latest_version or None,
        error=run.error or None,
        proto=run,
    )


def event_from_proto(event: pb.RunEvent) -> RunEvent:
    """An event as plain values."""
    kind = event.WhichOneof("kind") or "unknown"
    texts = {"log": event.log.text, "state": event.state.message}
    return RunEvent(
        sequence=event.sequence,
        at_s=event.at_s,
        step=event.step,
        kind=kind,
        metrics=dict(event.metrics.values),
        state=_state(event.state.state) if kind == "state" else None,
        text=texts.get(kind),
        version=event.published.version if kind == "published" else None,
        proto=event,
    )


def _state(state: pb.RunState.ValueType) -> RunState:
    return _STATES.get(state, RunState.UNKNOWN)
