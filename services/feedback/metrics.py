"""What the feedback service counts, as `attune_feedback_*`."""

from collections import Counter as Tally
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from protos.v1.feedback_log_pb2 import JudgementReceipt
from protos.v1.judgement_pb2 import Judgement, RaterKind
from services.common.metrics import LATENCY_BUCKETS_S
from services.feedback.events import EventType


class FeedbackMetrics:
    """The service's own metrics, beside those of its RPCs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter(
            "attune_feedback_events_total", "Events committed", ("type",), registry=registry
        )
        self.judgements = Counter(
            "attune_feedback_judgements_total",
            "Judgements received; outcome is stored, repeated or refused",
            ("kind", "rater_kind", "outcome"),
            registry=registry,
        )
        self.trajectories = Counter(
            "attune_feedback_trajectories_total",
            "Trajectories received; outcome is stored, repeated or refused",
            ("outcome",),
            registry=registry,
        )
        self.db_seconds = Histogram(
            "attune_feedback_db_seconds",
            "Time in the database, waiting for a thread not included",
            ("operation",),
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.blob_bytes = Counter(
            "attune_feedback_blob_bytes_total", "Media bytes written", registry=registry
        )
        self._pending = Gauge(
            "attune_feedback_pending", "Work running or waiting", ("lane",), registry=registry
        )

    def watch_lane(self, name: str, pending: Callable[[], int]) -> None:
        """Reports a lane's load at each scrape."""
        self._pending.labels(name).set_function(pending)

    def count_events(self, appended: Tally[EventType]) -> None:
        """Counts what a transaction committed."""
        for type_, count in appended.items():
            self.events.labels(type_.value).inc(count)

    def count_judgement(self, judgement: Judgement, receipt: JudgementReceipt) -> None:
        """Counts one judgement by what became of it."""
        outcome = "refused" if receipt.error else "repeated" if receipt.repeated else "stored"
        kind = judgement.WhichOneof("kind") or "none"
        self.judgements.labels(kind, _rater_kind(judgement.rater_kind), outcome).inc()

    def count_trajectories(self, stored: int, repeated: int, refused: int) -> None:
        """Counts one batch of trajectories."""
        counts = {"stored": stored, "repeated": repeated, "refused": refused}
        for outcome, count in counts.items():
            self.trajectories.labels(outcome).inc(count)


def _rater_kind(value: RaterKind.ValueType) -> str:
    known = value in RaterKind.values()
    return RaterKind.Name(value).removeprefix("RATER_KIND_").lower() if known else "unknown"
