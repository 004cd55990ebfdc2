"""Starts a run, follows its events to its end across broken streams, and asks it to stop."""

import signal
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from types import FrameType

import grpc

from protos.v1 import training_orchestrator_pb2 as pb
from protos.v1.training_orchestrator_pb2_grpc import TrainingOrchestratorStub
from services.cli.errors import UserError
from services.cli.runs.recipes import RecipeFile

OnEvent = Callable[[pb.RunEvent], None]
_ENDED = (
    pb.RUN_STATE_SUCCEEDED,
    pb.RUN_STATE_FAILED,
    pb.RUN_STATE_STOPPED,
    pb.RUN_STATE_INTERRUPTED,
)


class RunLeft(UserError):
    """The user pressed Ctrl-C twice: the run goes on stopping by itself."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"left run {run_id} before it had stopped", f"attune run --resume {run_id}", 130
        )


@dataclass
class FollowedRun:
    """A run with what its events said so far."""

    run: pb.Run
    first_metrics: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    num_samples: float = 0.0  # over all steps
    active_s: float = 0.0  # what the phases of all steps took
    published: list[str] = field(default_factory=list)
    is_stopping: bool = False

    def take(self, event: pb.RunEvent) -> None:
        """Notes an event."""
        match event.WhichOneof("kind"):
            case "metrics":
                self.metrics |= event.metrics.values
                for name, value in event.metrics.values.items():
                    self.first_metrics.setdefault(name, value)
                    self.num_samples += value if name == "samples" else 0
                    self.active_s += value if name.startswith("seconds/") else 0
            case "published":
                self.published.append(event.published.version)


def start_run(
    trainer: TrainingOrchestratorStub, recipe: RecipeFile, overrides: Mapping[str, str]
) -> pb.Run:
    """Queues a run of a recipe."""
    request = pb.StartRunRequest(
        request_id=uuid.uuid4().hex,
        recipe_toml=recipe.text,
        overrides=overrides,
        recipe_folder=str(recipe.folder),
    )
    return trainer.StartRun(request)


def resume_run(trainer: TrainingOrchestratorStub, run_id: str) -> pb.Run:
    """Queues a run again, from its last checkpoint."""
    return trainer.StartRun(pb.StartRunRequest(request_id=uuid.uuid4().hex, resume_run_id=run_id))


def follow_run(
    trainer: TrainingOrchestratorStub,
    followed: FollowedRun,
    on_event: OnEvent,
    after_sequence: int = 0,
) -> pb.Run:
    """The run at its end. Ctrl-C asks it to stop, a second one raises RunLeft."""
    run_id = followed.run.run_id
    with _stopping_on_interrupt(trainer, followed):
        for event in _RunEvents(trainer, run_id, after_sequence):
            followed.take(event)
            on_event(event)
    followed.run = trainer.GetRun(pb.GetRunRequest(run_id=run_id))
    return followed.run


@contextmanager
def _stopping_on_interrupt(
    trainer: TrainingOrchestratorStub, followed: FollowedRun
) -> Iterator[None]:
    """The first Ctrl-C asks the run to stop and lets its stream end by itself.

    An exception out of the middle of a stream leaves gRPC's threads in a state in which now and
    then the next call never returns, so only a second Ctrl-C raises one.
    """
    run_id = followed.run.run_id

    def on_interrupt(_signal: int, _frame: FrameType | None) -> None:
        if followed.is_stopping:
            raise KeyboardInterrupt
        followed.is_stopping = True
        Thread(target=stop_run, args=(trainer, run_id), daemon=True).start()

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    except KeyboardInterrupt:
        raise RunLeft(run_id) from None
    finally:
        signal.signal(signal.SIGINT, before)


def stop_run(trainer: TrainingOrchestratorStub, run_id: str) -> None:
    """Asks a run to end after its step, with a checkpoint."""
    request = pb.StopRunRequest(request_id=uuid.uuid4().hex, run_id=run_id, checkpoint=True)
    trainer.StopRun(request)


def has_ended(run: pb.Run) -> bool:
    """Whether nothing more will happen to it by itself."""
    return run.state in _ENDED


class _RunEvents:
    """A run's events from a place on; a stream that breaks is taken up where it was."""

    def __init__(self, trainer: TrainingOrchestratorStub, run_id: str, sequence: int) -> None:
        self.sequence = sequence
        self._trainer, self._run_id = trainer, run_id

    def __iter__(self) -> Iterator[pb.RunEvent]:
        while True:
            request = pb.WatchRunRequest(run_id=self._run_id, after_sequence=self.sequence)
            try:
                for event in self._trainer.WatchRun(request):
                    self.sequence = event.sequence
                    yield event
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            if has_ended(self._trainer.GetRun(pb.GetRunRequest(run_id=self._run_id))):
                return
