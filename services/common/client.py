"""Channels to Attune's services: a deadline on every call, retries where they are safe, keepalive.

Deadlines and retries are gRPC's own service configuration, so that every stub gets them. A shorter
`timeout=` given with a call wins.
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import grpc

DEFAULT_TIMEOUT_S = 600
WATCH_TIMEOUT_S = 24 * 3600
_MESSAGE_BYTES = 64 << 20

_RETRY_UNAVAILABLE = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
# Every mutation carries an idempotency key, so a retry after UNAVAILABLE is safe on all methods.
_SERVICE_CONFIG = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{"service": "attune.v1.TrainingOrchestrator", "method": "WatchRun"}],
                "timeout": f"{WATCH_TIMEOUT_S}s",
            },
            {
                "name": [{}],
                "timeout": f"{DEFAULT_TIMEOUT_S}s",
                "retryPolicy": _RETRY_UNAVAILABLE,
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
    channel = open_aio_channel(address)
    try:
        yield channel
    finally:
        await channel.close()


def open_aio_channel(address: str) -> grpc.aio.Channel:
    """A channel for asyncio code that the caller closes."""
    return grpc.aio.insecure_channel(address, options=_OPTIONS)


@contextmanager
def sync_channel(address: str) -> Iterator[grpc.Channel]:
    """A channel for blocking code (training loops, the command line)."""
    channel = grpc.insecure_channel(address, options=_OPTIONS)
    try:
        yield channel
    finally:
        channel.close()
