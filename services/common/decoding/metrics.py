"""What is counted of the decoding of media."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from services.common.metrics import LATENCY_BUCKETS_S


class DecodingMetrics:
    """Outcomes: decoded, refused, timeout (worker killed), ended (worker died), busy."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.decodes = Counter(
            "attune_media_decodes_total",
            "Media decoded or not, by outcome",
            ("modality", "outcome"),
            registry=registry,
        )
        self.duration = Histogram(
            "attune_media_decode_duration_seconds",
            "Time in a decoder process, without the wait for one",
            ("modality",),
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
