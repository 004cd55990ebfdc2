"""Channels to Attune's services: a deadline on every call, retries where they are safe, keepalive.

Retries are gRPC's own, so that every stub gets them. A `timeout=` given with a call wins.
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import grpc

from services.common.deadlines import DeadlinedAioChannel, DeadlinedChannel

DEFAULT_TIMEOUT_S = 600
WATCH_TIMEOUT_S = 24 * 3600
_MESSAGE_BYTES = 64 << 20

_TIMEOUT_S = {"/attune.v1.TrainingOrchestrator/WatchRun": WATCH_TIMEOUT_S}
# Every mutation carries an idempotency key, so a retry after UNAVAILABLE is safe on all methods.
# Health checks are not repeated: of a service that is down one wants to know at once.
_SERVICE_CONFIG = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {"name": [{"service": "grpc.health.v1.Health"}]},
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 5,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            },
        ],
    }
)
_OPTIONS: list[tuple[str, int | str]] = [
    ("grpc.service_config", _SERVICE_CONFIG),
    ("grpc.enable_retries", 1),
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A restarted service is found again within seconds; the default backs off to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


@asynccontextmanager
async def aio_channel(address: str) -> AsyncIterator[grpc.aio.Channel]:
    """A channel for asyncio code, closed at the end of the context."""
    async with open_aio_channel(address) as channel:
        yield channel


def open_aio_channel(address: str) -> grpc.aio.Channel:
    """A channel for asyncio code that the caller closes."""
    return DeadlinedAioChannel(grpc.aio.insecure_channel(address, options=_OPTIONS), _timeout_s)


@contextmanager
def sync_channel(address: str) -> Iterator[grpc.Channel]:
    """A channel for blocking code (training loops, the command line)."""
    with DeadlinedChannel(grpc.insecure_channel(address, options=_OPTIONS), _timeout_s) as channel:
        yield channel


def _timeout_s(method: str) -> float:
    return _TIMEOUT_S.get(method, DEFAULT_TIMEOUT_S)
