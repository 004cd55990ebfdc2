"""attune_trainer_*: what the events of running runs say, for Prometheus."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from protos.v1 import training_orchestrator_pb2 as pb
from services.common.metrics import LATENCY_BUCKETS_S
from services.trainer.event_log import EventReader
from services.trainer.run_folder import RunFolder

_POLL_S = 0.5
# Step metric → gauge: its newest value by stage.
_GAUGES = {
    "reward_mean": "Mean reward of the last step's samples",
    "kl": "KL from the initial policy, nats per token",
    "grad_norm": "Gradient norm before clipping",
    "entropy": "Entropy of the policy, nats per token",
    "loss": "Loss of the last step",
    "learning_rate": "Learning rate of the last step",
    "clip_fraction": "Share of tokens whose ratio was clipped",
    "importance_truncated_fraction": "Share of tokens whose importance weight was truncated",
    "logprob_mismatch_max": "Largest sampler/trainer difference of a log-probability",
    "logprob_mismatch_p99": "99th percentile of that difference",
    "logprob_mismatch_p999": "99.9th percentile of that difference",
    "heldout_mean": "Mean score of held-out items, over families",
    "heldout_pair_accuracy": "Held-out pair accuracy of the reward model in training",
}

_ENDS = (
    pb.RUN_STATE_SUCCEEDED,
    pb.RUN_STATE_FAILED,
    pb.RUN_STATE_STOPPED,
    pb.RUN_STATE_INTERRUPTED,
)


class RunMetrics:
    """One set for all runs of the service."""

    def __init__(self, registry: CollectorRegistry) -> None:
        stage, prefix = ("stage",), "attune_trainer"
        self._steps = Counter(f"{prefix}_steps_total", "Steps taken", stage, registry=registry)
        self._skipped = Counter(
            f"{prefix}_skipped_steps_total", "Steps without an update", stage, registry=registry
        )
        self._samples = Counter(
            f"{prefix}_samples_total", "Samples learned from", stage, registry=registry
        )
        self._dropped = Counter(
            f"{prefix}_dropped_samples_total",
            "Samples dropped, by score status or reason",
            (*stage, "reason"),
            registry=registry,
        )
        self._phase = Histogram(
            f"{prefix}_phase_duration_seconds",
            "Time of each phase of a step",
            (*stage, "phase"),
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self._gauges = {
            name: Gauge(f"{prefix}_{name}", text, stage, registry=registry)
            for name, text in _GAUGES.items()
        }
        self._ended = Counter(
            f"{prefix}_runs_ended_total", "Runs by how they ended", (*stage, "state"),
            registry=registry,
        )  # fmt: skip

    @asynccontextmanager
    async def following(self, folder: RunFolder) -> AsyncIterator[None]:
        """Counts the events that a worker writes until the context ends."""
        follower = _Follower(self, folder)
        task = asyncio.create_task(follower.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            follower.catch_up()

    def count_steps(self, stage: str, num_steps: int) -> None:
        """Steps taken since the last count."""
        self._steps.labels(stage).inc(num_steps)

    def count_end(self, stage: str, state: "pb.RunState.ValueType") -> None:
        """A run that ended in a state."""
        self._ended.labels(stage, pb.RunState.Name(state).removeprefix("RUN_STATE_")).inc()

    def observe(self, stage: str, values: Mapping[str, float]) -> None:
        """The metrics of a step, or of a measurement between steps."""
        self._skipped.labels(stage).inc(values.get("skipped", 0.0))
        self._samples.labels(stage).inc(values.get("samples", 0.0))
        for name, value in values.items():
            kind, _, label = name.partition("/")
            if kind == "dropped" and label:
                self._dropped.labels(stage, label).inc(value)
            elif kind == "seconds":
                self._phase.labels(stage, label).observe(value)
            elif name in self._gauges:
                self._gauges[name].labels(stage).set(value)


class _Follower:
    """Reads one run's events from where they are now."""

    def __init__(self, metrics: RunMetrics, folder: RunFolder) -> None:
        record = folder.record()
        self._metrics, self._stage, self._step = metrics, record.stage, record.step
        self._reader = EventReader(folder.events)
        self._reader.read()  # earlier sessions are not counted again

    async def run(self) -> None:
        while True:
            self.catch_up()
            await asyncio.sleep(_POLL_S)

    def catch_up(self) -> None:
        """Counts what has been written since the last call."""
        for event in self._reader.read():
            kind = event.WhichOneof("kind")
            if kind == "metrics":
                self._metrics.count_steps(self._stage, max(0, event.step - self._step))
                self._step = max(self._step, event.step)
                self._metrics.observe(self._stage, event.metrics.values)
            elif kind == "state" and event.state.state in _ENDS:
                self._metrics.count_end(self._stage, event.state.state)
