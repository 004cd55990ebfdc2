"""What every route is given: configuration, the other services, metrics, the shutdown signal."""

import asyncio
import math
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Header, Request

from services.gateway.backends import Backends
from services.gateway.config import GatewayConfig
from services.gateway.errors import BadRequest
from services.gateway.metrics import GatewayMetrics


@dataclass(frozen=True)
class Gateway:
    """One running gateway."""

    config: GatewayConfig
    backends: Backends
    metrics: GatewayMetrics
    draining: asyncio.Event = field(default_factory=asyncio.Event)


def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


def _timeout_s(
    request: Request, x_request_timeout: Annotated[str | None, Header()] = None
) -> float:
    """Seconds until the caller wants an answer, from its header or the default."""
    config = _gateway(request).config
    if x_request_timeout is None:
        return config.request_timeout_s
    try:
        timeout_s = float(x_request_timeout)
    except ValueError:
        timeout_s = math.nan
    if not 0 < timeout_s <= config.max_request_timeout_s:
        raise BadRequest(
            f"the header x-request-timeout is {x_request_timeout!r}; expected seconds, "
            f"more than 0 and at most {config.max_request_timeout_s:g}",
            "x-request-timeout",
        )
    return timeout_s


GatewayDep = Annotated[Gateway, Depends(_gateway)]
TimeoutDep = Annotated[float, Depends(_timeout_s)]
