"""What the policy service counts, under `attune_policy_`. Engine callbacks come on its thread."""

import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from services.common.logs import get_logger
from services.common.metrics import LATENCY_BUCKETS_S
from services.policy.engine.request import Job, Sample
from services.policy.engine.step_result import StepResult


class _Total(Collector):
    def __init__(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        self._name, self._help_text, self._read = name, help_text, read

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(self._name, self._help_text, value=self._read())


class PolicyMetrics:
    """Also the engine's observer: a small model's step takes 0.2 ms, so what every step calls is
    found beforehand, and nothing is counted by 0."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.first_token = self._histogram("time_to_first_token_seconds", "from submit")
        self.queue = self._histogram("queue_seconds", "from submit to the first prefill")
        self.prefill = self._histogram("prefill_step_seconds", "of a step with prompts")
        self.inter_token = self._histogram("inter_token_seconds", "of a step with answers")
        self.commit_stall = self._histogram("commit_stall_seconds", "of the engine at a commit")
        self.tokens = self._counter("generated_tokens_total", "sampled tokens", "modality")
        self._text_tokens, self._image_tokens = map(self.tokens.labels, ("text", "image"))
        self.prompt_tokens = self._counter("prompt_tokens_total", "prompt tokens computed")
        self.cached_tokens = self._counter("cached_prompt_tokens_total", "found in the cache")
        self.finished = self._counter("finished_samples_total", "samples that ended", "reason")
        self.rollouts = self._counter("rollouts_total", "Rollout calls answered")
        self.step_errors = self._counter("step_errors_total", "engine steps that raised")
        self.preempted = self._counter("preempted_samples_total", "samples computed anew")
        self.spool_dropped = self._counter("spool_dropped_total", "trajectories lost", "reason")
        self.spool_pushed = self._counter("spool_pushed_total", "trajectories acknowledged")

    def watch(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """A gauge that is read when it is scraped."""
        Gauge(f"attune_policy_{name}", help_text, registry=self._registry).set_function(read)

    def watch_total(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """A counter that another keeps; read when it is scraped."""
        self._registry.register(_Total(f"attune_policy_{name}", help_text, read))

    def on_step(self, duration_s: float, result: StepResult) -> None:
        if result.num_prompt_tokens:
            self.prefill.observe(duration_s)
        if result.num_decoded_rows:
            self.inter_token.observe(duration_s)
        if result.preempted:
            self.preempted.inc(len(result.preempted))
        if result.num_text_tokens:
            self._text_tokens.inc(result.num_text_tokens)
        if result.num_image_tokens:
            self._image_tokens.inc(result.num_image_tokens)

    def on_first_token(self, job: Job) -> None:
        clock = job.clock
        self.first_token.observe(time.monotonic() - clock.submitted_s)
        if clock.admitted_s is not None:
            self.queue.observe(clock.admitted_s - clock.submitted_s)

    def on_sample(self, job: Job, sample: Sample) -> None:
        self.finished.labels(sample.finish.value).inc()
        if not job.num_unfinished:
            self.prompt_tokens.inc(job.num_computed_prompt_tokens)
            self.cached_tokens.inc(job.num_cached_prompt_tokens)

    def on_error(self, error: Exception) -> None:
        self.step_errors.inc()
        get_logger(__name__).error("engine step failed", exc_info=error)

    def _histogram(self, name: str, help_text: str) -> Histogram:
        full, buckets = f"attune_policy_{name}", LATENCY_BUCKETS_S
        return Histogram(full, help_text, buckets=buckets, registry=self._registry)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(f"attune_policy_{name}", help_text, labels, registry=self._registry)
