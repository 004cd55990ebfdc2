"""All runs of a home: made, found again, and described on the wire. One folder each."""

import hashlib
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import Message

from protos.v1 import training_orchestrator_pb2 as pb
from services.common.errors import AlreadyExists, NotFound
from services.trainer.event_log import EventWriter
from services.trainer.recipe import Recipe, recipe_text, total_steps
from services.trainer.run_folder import RunFolder, RunRecord, RunState, replace_file


class RunStore:
    """Run folders below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def create(
        self, recipe: Recipe, initial_version: str, request: pb.StartRunRequest
    ) -> RunFolder:
        """A new run, queued. Its record appears last, so that no half-made run is ever found."""
        run_id = f"{recipe.name}-{uuid.uuid4().hex[:8]}"
        folder = RunFolder(self._root / run_id)
        folder.path.mkdir(parents=True)
        replace_file(folder.recipe, recipe_text(recipe).encode())
        record = RunRecord(
            run_id=run_id,
            name=recipe.name,
            stage=recipe.stage,
            total_steps=total_steps(recipe),
            created_at_s=time.time(),
            updated_at_s=time.time(),
            initial_version=initial_version,
            alias=f"run/{run_id}",
        )
        folder.write_record(remember(record, request))
        set_state(folder, RunState.QUEUED)
        return folder

    def get(self, run_id: str) -> RunFolder:
        """Raises NotFound."""
        for folder in self._folders():
            if folder.path.name == run_id:
                return folder
        newest = ", ".join(f.path.name for f in self.newest_first()[:5]) or "none"
        raise NotFound(f"no run {run_id!r}; the newest are: {newest}")

    def newest_first(self) -> list[RunFolder]:
        """All runs."""
        dated = [(folder.record().created_at_s, folder.path.name) for folder in self._folders()]
        return [RunFolder(self._root / name) for _, name in sorted(dated, reverse=True)]

    def answered(self, request: pb.StartRunRequest) -> RunFolder | None:
        """The run that an earlier request of this id started, also before a restart.

        Raises AlreadyExists where that request had another body.
        """
        if not request.request_id:
            return None
        for folder in self._folders():
            digest = folder.record().requests.get(request.request_id)
            if digest == body_digest(request):
                return folder
            if digest is not None:
                raise AlreadyExists(
                    f"request id {request.request_id!r} was used with another body; use a new one"
                )
        return None

    def _folders(self) -> Iterator[RunFolder]:
        for path in self._root.glob("*/run.json"):
            yield RunFolder(path.parent)


def remember(record: RunRecord, request: pb.StartRunRequest) -> RunRecord:
    """The record with a request that it answers."""
    if not request.request_id:
        return record
    requests = {**record.requests, request.request_id: body_digest(request)}
    return record.model_copy(update={"requests": requests})


def body_digest(request: Message) -> str:
    """Equal for equal requests."""
    return hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()


def set_state(folder: RunFolder, state: RunState, message: str = "") -> None:
    """Records a state on behalf of a run that no worker holds: first the event, then the record."""
    record = folder.record()
    value = pb.RunState.Value(f"RUN_STATE_{state}")
    event = pb.RunEvent(step=record.step, state=pb.StateChange(state=value, message=message))
    with EventWriter(folder.events) as events:
        events.append(event)
    error = message if state in (RunState.FAILED, RunState.INTERRUPTED) else ""
    folder.write_record(record.model_copy(update={"state": state, "error": error}))


def run_to_proto(folder: RunFolder) -> pb.Run:
    """A run on the wire."""
    record = folder.record()
    return pb.Run(
        run_id=record.run_id,
        stage=record.stage,
        name=record.name,
        state=pb.RunState.Value(f"RUN_STATE_{record.state}"),
        step=record.step,
        total_steps=record.total_steps,
        recipe_toml=folder.recipe.read_text(),
        created_at_s=record.created_at_s,
        updated_at_s=record.updated_at_s,
        initial_version=record.initial_version,
        latest_version=record.latest_version,
        alias=record.alias,
        error=record.error,
        folder=str(folder.path),
    )
