"""GET /api/services: who serves, how fast each answers a health check, and what each holds."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from fastapi import APIRouter

from protos.v1.feedback_log_pb2 import ListSnapshotsRequest
from protos.v1.policy_generator_pb2 import ListVersionsRequest
from protos.v1.reward_model_pb2 import ListModelsRequest
from protos.v1.training_orchestrator_pb2 import RUN_STATE_RUNNING, ListRunsRequest
from protos.v1.versions_pb2 import VersionState
from services.gateway.backends import Backends, HealthReport, ServiceHealth
from services.gateway.gateway import Gateway, GatewayDep
from services.gateway.health import check_services

router = APIRouter()
_PAGE_SIZE = 100
_Holdings = dict[str, Any]


@router.get("/api/services")
async def get_services(gateway: GatewayDep) -> dict[str, Any]:
    """The four services in the order of the loop, then this gateway."""
    reports = await check_services(gateway)
    described = await asyncio.gather(*(_describe(gateway, report) for report in reports))
    return {"services": [*described, _describe_self(gateway)]}


async def _describe(gateway: Gateway, report: HealthReport) -> dict[str, Any]:
    is_serving = report.health is ServiceHealth.SERVING
    return {
        "name": report.name,
        "address": report.address,
        "health": report.health.value,
        "latency_s": report.latency_s if is_serving else None,
        "holds": await _holdings(gateway, report.name) if is_serving else None,
    }


def _describe_self(gateway: Gateway) -> dict[str, Any]:
    metrics = gateway.metrics
    return {
        "name": "gateway",
        "address": f"{gateway.config.host}:{gateway.config.port}",
        "health": "not serving" if gateway.draining.is_set() else "serving",
        "latency_s": None,
        "holds": {
            "requests": metrics.num_requests(),
            "tokens": metrics.num_tokens(),
        },
    }


async def _holdings(gateway: Gateway, name: str) -> _Holdings | None:
    """What a service says that it holds; None when it does not answer in time."""
    try:
        return await _READERS[name](gateway.backends, gateway.config.health_timeout_s)
    except grpc.RpcError:
        return None


async def _policy(backends: Backends, timeout_s: float) -> _Holdings:
    listed = await backends.policy.ListVersions(ListVersionsRequest(), timeout=timeout_s)
    return {
        "versions": [
            {
                "name": resident.version,
                "aliases": sorted(a.alias for a in listed.aliases if a.version == resident.version),
                "state": _lower(VersionState.Name(resident.state), "VERSION_STATE_"),
                "resident_bytes": resident.resident_bytes,
            }
            for resident in listed.versions
        ]
    }


async def _reward(backends: Backends, timeout_s: float) -> _Holdings:
    listed = await backends.reward.ListModels(ListModelsRequest(), timeout=timeout_s)
    return {
        "versions": [
            {
                "name": model.name,
                "aliases": sorted(a.alias for a in listed.aliases if a.version == model.name),
                "state": model.scorer,
            }
            for model in listed.models
        ]
    }


async def _trainer(backends: Backends, timeout_s: float) -> _Holdings:
    request = ListRunsRequest(page_size=_PAGE_SIZE)
    listed = await backends.trainer.ListRuns(request, timeout=timeout_s)
    return {
        "runs": len(listed.runs),
        "has_more": bool(listed.next_page_token),
        "running": [run.run_id for run in listed.runs if run.state == RUN_STATE_RUNNING],
    }


async def _feedback(backends: Backends, timeout_s: float) -> _Holdings:
    listed = await backends.feedback.ListSnapshots(ListSnapshotsRequest(), timeout=timeout_s)
    newest = max(listed.snapshots, key=lambda s: s.created_at_s, default=None)
    return {
        "snapshots": len(listed.snapshots),
        "newest": newest
        and {
            "name": newest.name or newest.snapshot_id,
            "items": newest.num_items,
            "judgements": newest.num_judgements,
        },
    }


def _lower(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()


_READERS: dict[str, Callable[[Backends, float], Awaitable[_Holdings]]] = {
    "policy": _policy,
    "reward": _reward,
    "trainer": _trainer,
    "feedback": _feedback,
}
