"""/health/live, /health/ready and /metrics."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.gateway.backends import HealthReport, ServiceHealth
from services.gateway.gateway import Gateway, GatewayDep

router = APIRouter()


@router.get("/health/live")
async def live() -> dict[str, str]:
    """The process answers; nothing else is asked."""
    return {"status": "live"}


@router.get("/health/ready")
async def ready(gateway: GatewayDep) -> JSONResponse:
    """503 while draining or while a required service is not serving; names each that is not.

    Only `ready_requires` decides: a gateway that left the load balancer because feedback is down
    would take chat down with it.
    """
    reports = await check_services(gateway)
    not_serving = [r.name for r in reports if r.health is not ServiceHealth.SERVING]
    draining = gateway.draining.is_set()
    is_ready = not draining and not set(not_serving) & set(gateway.config.ready_requires)
    body = {
        "status": "ready" if is_ready else "draining" if draining else "not ready",
        "not_serving": not_serving,
        "services": {r.name: r.health.value for r in reports},
    }
    return JSONResponse(body, 200 if is_ready else 503)


@router.get("/metrics")
async def metrics(gateway: GatewayDep) -> Response:
    """For Prometheus."""
    return Response(generate_latest(gateway.metrics.registry), media_type=CONTENT_TYPE_LATEST)


async def check_services(gateway: Gateway) -> list[HealthReport]:
    """Checks the health of all services now, and records what was found."""
    reports = await gateway.backends.check_all(gateway.config.health_timeout_s)
    gateway.metrics.record_health(reports)
    return reports
