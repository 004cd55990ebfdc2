"""Training runs for asyncio code: `client.runs`."""

from collections.abc import AsyncIterator, Mapping
from os import PathLike
from typing import TYPE_CHECKING

from attune_client.protos.v1 import training_orchestrator_pb2 as pb
from attune_client.retries import LONG_STREAM_S, Attempts, repeated_async, streamed_async
from attune_client.run_records import (
    Run,
    RunEvent,
    TomlValue,
    event_from_proto,
    resume_request,
    run_from_proto,
    start_request,
    stop_request,
)

if TYPE_CHECKING:
    from attune_client.protos.v1.training_orchestrator_pb2_grpc import (
        TrainingOrchestratorAsyncStub,
    )


class AsyncRuns:
    """Starts, follows, stops and lists runs."""

    def __init__(self, stub: "TrainingOrchestratorAsyncStub", deadline_s: float) -> None:
        self._stub = stub
        self._deadline_s = deadline_s

    async def start(
        self, recipe: str | PathLike[str], overrides: Mapping[str, TomlValue] | None = None
    ) -> Run:
        """Queues a run of a recipe: its TOML text, or the `Path` of its file.

        Overrides name a field as "section.field". Relative paths of a recipe in a file start at
        its folder, as the trainer sees it.
        """
        return await self._start(start_request(recipe, overrides or {}))

    async def resume(self, run_id: str) -> Run:
        """Queues a run again, from its last checkpoint."""
        return await self._start(resume_request(run_id))

    async def watch(self, run_id: str, after: int = 0) -> AsyncIterator[RunEvent]:
        """The events after a sequence number, to the end of the run.

        A stream that breaks is taken up where it was. Raises Unavailable where the trainer has
        not been reached for as long as the client's deadline.
        """
        request = pb.WatchRunRequest(run_id=run_id, after_sequence=after)
        attempts = Attempts(self._deadline_s)
        call = self._stub.WatchRun
        while True:
            async for event in streamed_async(
                lambda _: call(request, timeout=LONG_STREAM_S), attempts
            ):
                attempts.renew()
                request.after_sequence = event.sequence
                yield event_from_proto(event)
            if (await self.get(run_id)).state.has_ended:
                return

    async def stop(self, run_id: str, checkpoint: bool = True) -> Run:
        """Asks a run to end after its step."""
        request = stop_request(run_id, checkpoint)
        stop = self._stub.StopRun
        return run_from_proto(
            await repeated_async(lambda t: stop(request, timeout=t), self._deadline_s)
        )

    async def get(self, run_id: str) -> Run:
        """A run as it stands. Raises NotFound."""
        request = pb.GetRunRequest(run_id=run_id)
        get = self._stub.GetRun
        return run_from_proto(
            await repeated_async(lambda t: get(request, timeout=t), self._deadline_s)
        )

    async def list(self) -> AsyncIterator[Run]:
        """All runs, newest first."""
        request = pb.ListRunsRequest()
        fetch = self._stub.ListRuns
        while True:
            page = await repeated_async(lambda t: fetch(request, timeout=t), self._deadline_s)
            for run in page.runs:
                yield run_from_proto(run)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def _start(self, request: pb.StartRunRequest) -> Run:
        start = self._stub.StartRun
        return run_from_proto(
            await repeated_async(lambda t: start(request, timeout=t), self._deadline_s)
        )
