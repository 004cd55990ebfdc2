"""What the gateway counts; served at /metrics."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from protos.v1.policy_generator_pb2 import GenerateResponse
from protos.v1.timing_pb2 import Timing
from services.common.metrics import LATENCY_BUCKETS_S
from services.gateway.backends import HealthReport, ServiceHealth


class GatewayMetrics:
    """Requests by route, tokens, time to first token, and the health of the services behind."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.requests = Counter(
            "attune_gateway_requests_total",
            "HTTP requests answered; status 499 is a client that left",
            ("route", "method", "status"),
            registry=registry,
        )
        self.duration = Histogram(
            "attune_gateway_request_duration_seconds",
            "Time from request to last byte of answer",
            ("route",),
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.in_flight = Gauge(
            "attune_gateway_in_flight", "HTTP requests being answered", registry=registry
        )
        self.first_token = Histogram(
            "attune_gateway_time_to_first_token_seconds",
            "Time from a streamed chat request to its first token",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.tokens = Counter(
            "attune_gateway_tokens_total",
            "Tokens of answered requests; cached ones are part of prompt",
            ("kind",),
            registry=registry,
        )
        self.serving = Gauge(
            "attune_gateway_service_serving",
            "1 while the service's last health check found it serving",
            ("service",),
            registry=registry,
        )
        self.health_latency = Gauge(
            "attune_gateway_service_health_seconds",
            "Time of the service's last health check",
            ("service",),
            registry=registry,
        )

    def count_tokens(self, timing: Timing) -> None:
        """Adds what one answered request took."""
        self.tokens.labels("prompt").inc(timing.prompt_tokens)
        self.tokens.labels("completion").inc(timing.completion_tokens)
        self.tokens.labels("cached").inc(timing.cached_tokens)

    def num_requests(self) -> int:
        """Requests answered since the start."""
        return _sum(self.requests)

    def num_tokens(self) -> int:
        """Tokens of prompts and answers since the start."""
        return _sum(self.tokens, kind=("prompt", "completion"))

    def record_health(self, reports: list[HealthReport]) -> None:
        """Sets the gauges to what the health checks found."""
        for report in reports:
            self.serving.labels(report.name).set(report.health is ServiceHealth.SERVING)
            self.health_latency.labels(report.name).set(report.latency_s)


def _sum(counter: Counter, **labels: tuple[str, ...]) -> int:
    """Over all label values, or those given."""
    samples = [
        s for metric in counter.collect() for s in metric.samples if s.name.endswith("_total")
    ]
    return int(sum(s.value for s in samples if all(s.labels[k] in v for k, v in labels.items())))


class StreamWatch:
    """Measures one streamed answer from the events of its call."""

    def __init__(self, metrics: GatewayMetrics) -> None:
        self._metrics = metrics
        self._start_s: float | None = time.monotonic()

    def __call__(self, response: GenerateResponse) -> None:
        if self._start_s is not None:
            self._metrics.first_token.observe(time.monotonic() - self._start_s)
            self._start_s = None
        if response.HasField("done"):
            self._metrics.count_tokens(response.done.timing)
