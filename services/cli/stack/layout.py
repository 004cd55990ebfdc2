"""Which services there are and where each listens (docs/plan.md, default ports)."""

import socket
from dataclasses import dataclass
from pathlib import Path

from services.cli.errors import UserError

DEFAULT_PORT_BASE = 7000
HOST = "127.0.0.1"

_GATEWAY_OFFSET = 1000
_METRICS_OFFSET = 100


@dataclass(frozen=True, slots=True)
class ServiceLayout:
    """One service: `grpc_name` is what its health is asked for; the gateway speaks HTTP."""

    name: str
    grpc_name: str | None
    port: int
    metrics_port: int

    @property
    def address(self) -> str:
        """host:port"""
        return f"{HOST}:{self.port}"

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports that it takes."""
        return (self.port,) if self.port == self.metrics_port else (self.port, self.metrics_port)


@dataclass(frozen=True, slots=True)
class Layout:
    """All services, under one state folder."""

    home: Path
    services: tuple[ServiceLayout, ...]

    def __getitem__(self, name: str) -> ServiceLayout:
        return next(s for s in self.services if s.name == name)


def layout_at(home: Path, port_base: int = DEFAULT_PORT_BASE) -> Layout:
    """Services at base + 1 … 4, their metrics a hundred above, the gateway a thousand above."""
    return Layout(
        home.absolute(),
        (
            _grpc("feedback", "attune.v1.FeedbackLog", port_base + 4),
            _grpc("reward", "attune.v1.RewardModel", port_base + 2),
            _grpc("policy", "attune.v1.PolicyGenerator", port_base + 1),
            _grpc("trainer", "attune.v1.TrainingOrchestrator", port_base + 3),
            ServiceLayout(
                "gateway", None, port_base + _GATEWAY_OFFSET, port_base + _GATEWAY_OFFSET
            ),
        ),
    )


def require_free_ports(layout: Layout) -> None:
    """Raises UserError that names the first port which something else listens on."""
    for service in layout.services:
        for port in service.ports:
            if not _is_free(port):
                raise UserError(
                    f"port {port}, which the {service.name} service takes, is in use",
                    "`attune down` if services of another folder are up, or another `--port-base`",
                )


def _grpc(name: str, grpc_name: str, port: int) -> ServiceLayout:
    return ServiceLayout(name, grpc_name, port, port + _METRICS_OFFSET)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
