"""Runs a gRPC service: server, health, reflection, metrics, error translation, drain on SIGTERM.

`running_service` is used in-process by tests, `run_service` by `python -m services.NAME`.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import CollectorRegistry

from services.common.config import ServiceConfig
from services.common.errors import AttuneError, Unavailable
from services.common.health import Health
from services.common.interceptor import ErrorInterceptor
from services.common.logs import configure_logs, get_logger
from services.common.metrics import RpcMetrics, metrics_endpoint, new_registry

_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name


@dataclass(frozen=True)
class Registration:
    """One servicer to serve: its full name ("attune.v1.RewardModel") and how to add it."""

    full_name: str
    add_to: Callable[[grpc.aio.Server], None]


@dataclass(frozen=True)
class RunningService:
    """Where a started service answers, and its health switch."""

    address: str
    metrics_port: int
    health: Health
    registrations: tuple[Registration, ...]

    async def set_serving(self, serving: bool) -> None:
        """Answers health checks of each registered service, and of the whole, from now on."""
        await self.health.set_serving(["", *(r.full_name for r in self.registrations)], serving)


# Opens what a service needs (models, databases) and yields its servicers; closes it afterwards.
OpenServicers = Callable[[CollectorRegistry], AbstractAsyncContextManager[list[Registration]]]


@asynccontextmanager
async def running_service(
    config: ServiceConfig, open_servicers: OpenServicers
) -> AsyncIterator[RunningService]:
    """Serves until the context ends, then drains for at most `config.drain_s` seconds."""
    registry = new_registry()
    server = grpc.aio.server(
        interceptors=(ErrorInterceptor(RpcMetrics(registry)),), options=_server_options(config)
    )
    health = Health()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    async with open_servicers(registry) as registrations:
        for registration in registrations:
            registration.add_to(server)
        if config.reflection:
            names = [r.full_name for r in registrations]
            reflection.enable_server_reflection((*names, _HEALTH, reflection.SERVICE_NAME), server)
        port = _listen(server, f"{config.host}:{config.port}")
        with metrics_endpoint(registry, config.host, config.metrics_port) as metrics_port:
            await server.start()
            running = RunningService(
                f"{config.host}:{port}", metrics_port, health, tuple(registrations)
            )
            await running.set_serving(True)
            try:
                yield running
            finally:
                await health.drain()
                await server.stop(config.drain_s)


def run_service(name: str, config: ServiceConfig, open_servicers: OpenServicers) -> None:
    """Serves until SIGTERM or SIGINT; exits with 1 where the service cannot start."""
    configure_logs(name, config.log_level, config.log_format)
    try:
        asyncio.run(_serve_until_signalled(config, open_servicers))
    except AttuneError as error:
        get_logger(__name__).error("stopped by an error", reason=str(error))
        raise SystemExit(1) from None


async def _serve_until_signalled(config: ServiceConfig, open_servicers: OpenServicers) -> None:
    log = get_logger(__name__)
    log.info("starting", config=config.model_dump(mode="json"))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running_service(config, open_servicers) as running:
        log.info("ready", address=running.address, metrics_port=running.metrics_port)
        await stop.wait()
        log.info("draining", seconds=config.drain_s)
    log.info("stopped")


def _listen(server: grpc.aio.Server, address: str) -> int:
    try:
        return server.add_insecure_port(address)
    except RuntimeError as error:
        raise Unavailable(f"cannot listen on {address}; is the port taken?") from error


def _server_options(config: ServiceConfig) -> list[tuple[str, int]]:
    message_bytes = config.max_message_mib << 20
    return [
        ("grpc.max_receive_message_length", message_bytes),
        ("grpc.max_send_message_length", message_bytes),
        # Clients ping every 30 s; the default would answer such pings with GOAWAY.
        ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.so_reuseport", 0),
    ]
