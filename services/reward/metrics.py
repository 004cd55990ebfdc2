"""What the reward service counts, by resident model: `attune_reward_*`."""

from collections.abc import Callable, Iterable
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.common.metrics import LATENCY_BUCKETS_S
from services.reward.drift import RewardDrift
from services.reward.scorers.batched import Reuse
from services.reward.scorers.contract import CallTiming, Outcome, ScorerKind, ScoreStatus
from services.reward.waiting import BatchRun

_ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
_RATIOS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75)
# Programs score in 0..1; calibrated reward models around 0 with a spread of 1.
_REWARDS = (-5, -3, -2, -1.5, -1, -0.5, 0, 0.1, 0.25, 0.5, 0.75, 0.9, 1, 1.5, 2, 3, 5)


class RewardMetrics:
    """The metrics of one service instance."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def histogram(name: str, text: str, buckets: Iterable[float]) -> Histogram:
            return Histogram(
                f"attune_reward_{name}", text, ("model",), buckets=tuple(buckets), registry=registry
            )

        self.queued = Gauge(
            "attune_reward_queued_rows", "Rows that wait", ("model",), registry=registry
        )
        self.queue_s = histogram(
            "queue_seconds", "Time that a call's rows waited", LATENCY_BUCKETS_S
        )
        self.compute_s = histogram("compute_seconds", "Time of one batch", LATENCY_BUCKETS_S)
        self.batch_rows = histogram("batch_rows", "Rows of one batch", _ROWS)
        self.padding = histogram("padding_ratio", "Padding among a batch's tokens", _RATIOS)
        self.rewards = histogram("score", "Rewards given", _REWARDS)
        self.scores = Counter(
            "attune_reward_scores_total",
            "Items answered, by status",
            ("model", "status"),
            registry=registry,
        )
        self.reused = Counter(
            "attune_reward_reused_total",
            "Items that were not computed: their score was known, or on its way for another call",
            ("model", "how"),
            registry=registry,
        )
        self.canary_shift = Gauge(
            "attune_reward_canary_shift",
            "How far the reward of a fixed item has moved since its model was loaded; a fault if"
            " not 0",
            ("model",),
            registry=registry,
        )
        self.canaries_lost = Gauge(
            "attune_reward_canaries_lost",
            "Fixed items that were scored and are not any more",
            ("model",),
            registry=registry,
        )
        self.drift = Gauge(
            "attune_reward_traffic_psi",
            "Population stability index of the last 1000 rewards beside the first 1000",
            ("model",),
            registry=registry,
        )
        self._drifts: dict[str, RewardDrift] = {}
        self.resident = Gauge(
            "attune_reward_resident_models", "Resident scorers", ("scorer",), registry=registry
        )

    def batch_observer(self, model: str) -> Callable[[BatchRun], None]:
        """What a batcher tells of each batch."""

        def observe(run: BatchRun) -> None:
            self.compute_s.labels(model).observe(run.compute_s)
            self.batch_rows.labels(model).observe(run.num_rows)
            if run.padded_tokens:
                self.padding.labels(model).observe(1 - run.num_tokens / run.padded_tokens)

        return observe

    def reuse_counter(self, model: str) -> Callable[[Reuse], None]:
        """What a scorer tells of each item that it need not compute."""
        return lambda how: self.reused.labels(model, how).inc()

    def watch_queue(self, model: str, queued_rows: Callable[[], float]) -> None:
        """Reads the queue's length whenever metrics are scraped."""
        self.queued.labels(model).set_function(queued_rows)

    def count_call(self, model: str, outcomes: Iterable[Outcome], timing: CallTiming) -> None:
        """Counts an answered call."""
        self.queue_s.labels(model).observe(timing.queue_s)
        drift = self._drift_of(model)
        for outcome in outcomes:
            self.scores.labels(model, outcome.status).inc()
            if outcome.reward is not None:
                self.rewards.labels(model).observe(outcome.reward)
                drift.add(outcome.reward)

    def set_canaries(self, model: str, shift: float, num_lost: int) -> None:
        """What became of the fixed items."""
        self.canary_shift.labels(model).set(shift)
        self.canaries_lost.labels(model).set(num_lost)

    def count_residents(self, kinds: Iterable[ScorerKind]) -> None:
        """Sets the number of residents of each kind."""
        present = list(kinds)
        for kind in ("onnx", "program", "user", "blend"):
            self.resident.labels(kind).set(present.count(kind))

    def forget(self, model: str) -> None:
        """Drops the series of an unloaded model, so that versions do not pile up."""
        by_model = (
            self.queued,
            self.queue_s,
            self.compute_s,
            self.batch_rows,
            self.padding,
            self.rewards,
            self.canary_shift,
            self.canaries_lost,
            self.drift,
        )
        for metric in by_model:
            metric.remove(model)
        for status in ScoreStatus:
            self.scores.remove(model, status)
        for how in get_args(Reuse):
            self.reused.remove(model, how)
        self._drifts.pop(model, None)

    def _drift_of(self, model: str) -> RewardDrift:
        if model not in self._drifts:
            self._drifts[model] = RewardDrift()
            self.drift.labels(model).set_function(self._drifts[model].index)
        return self._drifts[model]
