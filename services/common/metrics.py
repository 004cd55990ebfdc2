"""Prometheus plumbing: a registry per service instance, RPC metrics, the /metrics endpoint."""

from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from threading import Thread
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    make_wsgi_app,
)

from services.common.errors import Unavailable

# From a millisecond, since small models answer in a few, to the longest rollouts.
LATENCY_BUCKETS_S = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    *(1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0),
)


class RpcMetrics:
    """What is counted for every method of every service."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("method",)
        self.handled = Counter(
            "attune_rpc_requests_total",
            "RPCs answered, by status code",
            (*labels, "code"),
            registry=registry,
        )
        self.duration = Histogram(
            "attune_rpc_duration_seconds",
            "Time from request to end of answer",
            labels,
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.in_flight = Gauge(
            "attune_rpc_in_flight", "RPCs being answered", labels, registry=registry
        )


def new_registry() -> CollectorRegistry:
    """A registry with the process's own figures (memory, CPU, open files) in it."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


@contextmanager
def metrics_endpoint(registry: CollectorRegistry, host: str, port: int) -> Iterator[int]:
    """Serves /metrics until the context ends; yields the port (a free one if 0 was asked)."""
    try:
        server = make_server(host, port, make_wsgi_app(registry), _Server, _SilentHandler)
    except OSError as error:
        raise Unavailable(f"cannot serve metrics on {host}:{port}: {error.strerror}") from error
    # The library's start_http_server polls every half second, which each stop would wait for.
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """A scrape leaves no log line."""
