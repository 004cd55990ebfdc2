"""GET /api/runs: runs of the trainer as JSON, and the events of one as a stream."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from protos.v1.training_orchestrator_pb2 import (
    GetRunRequest,
    ListRunsRequest,
    RunEvent,
    WatchRunRequest,
)
from services.common.errors import AttuneError
from services.gateway.backends import calling
from services.gateway.errors import error_body
from services.gateway.gateway import Gateway, GatewayDep, TimeoutDep
from services.gateway.sse import KEEP_ALIVE, SSE_HEADERS, sse_event, with_keep_alive
from services.gateway.web.run_json import event_to_json, run_to_json

router = APIRouter()


@router.get("/api/runs")
async def list_runs(
    gateway: GatewayDep,
    timeout_s: TimeoutDep,
    page_size: Annotated[int, Query(ge=1, le=100)] = 20,
    page_token: str = "",
) -> dict[str, Any]:
    """Runs, newest first."""
    request = ListRunsRequest(page_size=page_size, page_token=page_token)
    with calling("trainer"):
        listed = await gateway.backends.trainer.ListRuns(request, timeout=timeout_s)
    runs = [run_to_json(run) for run in listed.runs]
    return {"runs": runs, "next_page_token": listed.next_page_token}


@router.get("/api/runs/{run_id}")
async def get_run(run_id: str, gateway: GatewayDep, timeout_s: TimeoutDep) -> dict[str, Any]:
    """One run with its recipe."""
    with calling("trainer"):
        run = await gateway.backends.trainer.GetRun(GetRunRequest(run_id=run_id), timeout=timeout_s)
    return run_to_json(run) | {"recipe_toml": run.recipe_toml}


@router.get("/api/runs/{run_id}/events")
async def watch_run(
    run_id: str,
    gateway: GatewayDep,
    timeout_s: TimeoutDep,
    after: Annotated[int, Query(ge=0, lt=1 << 63)] = 0,
    last_event_id: Annotated[int | None, Header(ge=0, lt=1 << 63)] = None,
) -> StreamingResponse:
    """The events of a run as they come, from the one after `after` or after the browser's last."""
    with calling("trainer"):
        await gateway.backends.trainer.GetRun(GetRunRequest(run_id=run_id), timeout=timeout_s)
    request = WatchRunRequest(run_id=run_id, after_sequence=max(after, last_event_id or 0))
    body = _event_stream(gateway, request)
    return StreamingResponse(body, media_type="text/event-stream", headers=SSE_HEADERS)


async def _event_stream(gateway: Gateway, request: WatchRunRequest) -> AsyncIterator[bytes]:
    """Ends with an event `end`, after which the browser has no reason to come back."""
    try:
        async with aclosing(_events(gateway, request)) as events:
            async for event in with_keep_alive(events, until=gateway.draining):
                if event is None:
                    yield KEEP_ALIVE
                else:
                    yield sse_event(event_to_json(event), event_id=str(event.sequence))
    except AttuneError as error:
        yield sse_event(error_body(error), event="failed")
        return
    if not gateway.draining.is_set():
        yield sse_event({}, event="end")


async def _events(gateway: Gateway, request: WatchRunRequest) -> AsyncGenerator[RunEvent]:
    call = gateway.backends.trainer.WatchRun(request)
    try:
        with calling("trainer"):
            async for event in call:
                yield event
    finally:
        call.cancel()
