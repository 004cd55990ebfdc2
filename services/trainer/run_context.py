"""What a stage is given: its recipe and record, where to write, whom to call, when to end."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import grpc

from protos.v1 import training_orchestrator_pb2 as pb
from services.common.client import sync_channel
from services.common.version_store import VersionStore
from services.trainer.event_log import EventWriter
from services.trainer.patience import Patience
from services.trainer.recipe import Recipe
from services.trainer.run_folder import LaunchSettings, RunFolder, RunRecord, RunState


@dataclass(frozen=True, slots=True)
class Channels:
    """To the services that a run may need."""

    policy: grpc.Channel
    reward: grpc.Channel
    feedback: grpc.Channel


class RunContext:
    """One session of a run; a resumed run has several."""

    def __init__(
        self, folder: RunFolder, recipe: Recipe, events: EventWriter, channels: Channels
    ) -> None:
        self.folder = folder
        self.recipe = recipe
        self.events = events
        self.channels = channels
        self.settings: LaunchSettings = folder.launch_settings()
        self.store = VersionStore(self.settings.home / "versions")
        self.record: RunRecord = folder.record()
        self.patience = Patience(
            limit_s=self.settings.patience_s,
            call_timeout_s=self.settings.call_timeout_s,
            stop_asked=folder.stop_asked,
            report=lambda text: self.log(text, "warning"),
        )
        self._seconds: dict[str, float] = {}
        self._since_s = time.monotonic()

    def update(self, **changes: object) -> None:
        """Changes fields of run.json, and counts the time since the last change."""
        now_s = time.monotonic()
        elapsed_s = self.record.elapsed_s + now_s - self._since_s
        self._since_s = now_s
        self.record = self.record.model_copy(update={**changes, "elapsed_s": elapsed_s})
        self.folder.write_record(self.record)

    def set_state(self, state: RunState, message: str = "") -> None:
        """First in the events, then in run.json: who reads a final state there has them all."""
        value = pb.RunState.Value(f"RUN_STATE_{state}")
        self._emit(pb.RunEvent(state=pb.StateChange(state=value, message=message)))
        self.update(state=state)

    def log(self, text: str, level: str = "info") -> None:
        """A line for people."""
        self._emit(pb.RunEvent(log=pb.LogLine(level=level, text=text)))

    def progress(self, phase: str, done: int, total: int) -> None:
        """How far a phase of the current step is."""
        self._emit(pb.RunEvent(progress=pb.Progress(phase=phase, done=done, total=total)))

    def show(self, sample: pb.SampleShown) -> None:
        """A sample for people to look at."""
        self._emit(pb.RunEvent(sample=sample))

    def published(self, version: str, alias: str, step: int) -> None:
        """Records what serves now, and the step that made it."""
        self.update(latest_version=version)
        event = pb.RunEvent(published=pb.VersionPublished(version=version, alias=alias))
        self._emit(event, step)

    def finish_step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Records a step and its metrics, once, however often it is computed."""
        self.update(step=step)
        seconds = {f"seconds/{phase}": spent for phase, spent in self._seconds.items()}
        self._seconds = {}
        if step > self.events.last_metrics_step:
            self.measured({**metrics, **seconds})
            self.events.last_metrics_step = step

    def measured(self, metrics: Mapping[str, float]) -> None:
        """Figures of the run as it stands."""
        self._emit(pb.RunEvent(metrics=pb.StepMetrics(values=dict(metrics))))

    def end_reason(self) -> str | None:
        """Why the run should end before its last step, if it should."""
        if self.folder.stop_asked():
            return "stop"
        limit_s = self.recipe.time_limit_s
        elapsed_s = self.record.elapsed_s + time.monotonic() - self._since_s
        return "time_limit" if limit_s is not None and elapsed_s >= limit_s else None

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Counts the time of a phase into the step's metrics."""
        started_s = time.monotonic()
        yield
        spent_s = time.monotonic() - started_s
        self._seconds[phase] = self._seconds.get(phase, 0.0) + spent_s

    def _emit(self, event: pb.RunEvent, step: int | None = None) -> None:
        event.step = self.record.step if step is None else step
        self.events.append(event)


@contextmanager
def open_channels(settings: LaunchSettings) -> Iterator[Channels]:
    """Channels connect when they are first used."""
    with (
        sync_channel(settings.policy_address) as policy,
        sync_channel(settings.reward_address) as reward,
        sync_channel(settings.feedback_address) as feedback,
    ):
        yield Channels(policy, reward, feedback)
