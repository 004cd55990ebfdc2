"""Runs the gateway under uvicorn: `running_gateway` in-process, `run_gateway` for the service."""

import asyncio
import contextlib
import math
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import uvicorn

from services.common.logs import configure_logs, get_logger
from services.gateway.app import create_app, open_gateway
from services.gateway.config import GatewayConfig
from services.gateway.gateway import Gateway

# Longer than clients keep idle connections, so that it is they who close them.
_KEEP_ALIVE_S = 75


@dataclass(frozen=True)
class RunningGateway:
    """Where a started gateway answers."""

    address: str
    gateway: Gateway

    @property
    def url(self) -> str:
        """Where a browser goes."""
        return f"http://{self.address}"


class _Server(uvicorn.Server):
    """Leaves signals to the caller, who ends open streams of events before the server waits."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def running_gateway(config: GatewayConfig) -> AsyncIterator[RunningGateway]:
    """Serves until the context ends; what then runs has `config.drain_s` seconds to finish."""
    listener = _listen(config)
    address = f"{config.host}:{listener.getsockname()[1]}"
    async with open_gateway(config) as gateway:
        server = _Server(_uvicorn_config(config, gateway))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield RunningGateway(address, gateway)
        finally:
            gateway.draining.set()
            server.should_exit = True
            await serving


def run_gateway(config: GatewayConfig) -> None:
    """Serves until SIGTERM or SIGINT."""
    configure_logs("gateway", config.log_level, config.log_format)
    asyncio.run(_serve_until_signalled(config))


async def _serve_until_signalled(config: GatewayConfig) -> None:
    log = get_logger(__name__)
    log.info("starting", config=config.model_dump(mode="json"))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running_gateway(config) as running:
        log.info("ready", address=running.address, url=running.url)
        await stop.wait()
        log.info("draining", seconds=config.drain_s)
    log.info("stopped")


def _listen(config: GatewayConfig) -> socket.socket:
    """A socket that queues connections from now on; uvicorn accepts them once it runs."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    return socket.create_server((config.host, config.port), family=family, backlog=2048)


def _uvicorn_config(config: GatewayConfig, gateway: Gateway) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(gateway),
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(config.drain_s),
    )
