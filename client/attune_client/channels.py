"""Where the services are, and the channels to them."""

import json
import os
from dataclasses import dataclass
from typing import Self

from attune_client.errors import FailedPrecondition, InvalidArgument

MAX_MESSAGE_BYTES = 64 << 20
DEFAULT_DEADLINE_S = 120.0
CHANNEL_OPTIONS: list[tuple[str, int | str]] = [
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A restarted service is found again within seconds; the default backs off to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]
_DEFAULT_PORT_BASE = "7000"


@dataclass(frozen=True, slots=True)
class Addresses:
    """host:port of each service; None where a client does without it."""

    policy: str | None
    reward: str | None
    trainer: str | None
    feedback: str | None

    @classmethod
    def local(cls) -> Self:
        """Where `attune up` puts them on this machine: from ATTUNE_PORT_BASE (7000) upwards."""
        text = os.environ.get("ATTUNE_PORT_BASE", _DEFAULT_PORT_BASE)
        if not text.isdecimal():
            raise InvalidArgument(f"ATTUNE_PORT_BASE is {text!r}; it must be a port number")
        return cls(*(f"127.0.0.1:{int(text) + offset}" for offset in (1, 2, 3, 4)))

    def require(self, name: str) -> str:
        """A service's address. Raises FailedPrecondition where the client was given none."""
        address: str | None = getattr(self, name)
        if address is None:
            raise FailedPrecondition(
                f"this client has no address of the {name} service; give it as {name}=…"
            )
        return address


def addresses_of(
    policy: str | None, reward: str | None, trainer: str | None, feedback: str | None
) -> Addresses:
    """Those that are given; where none is, those of this machine."""
    given = Addresses(policy, reward, trainer, feedback)
    return given if any((policy, reward, trainer, feedback)) else Addresses.local()
