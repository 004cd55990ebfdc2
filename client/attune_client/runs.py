"""Training runs for blocking code: `client.runs`."""

from collections.abc import Iterator, Mapping
from os import PathLike

from attune_client.protos.v1 import training_orchestrator_pb2 as pb
from attune_client.protos.v1.training_orchestrator_pb2_grpc import TrainingOrchestratorStub
from attune_client.retries import LONG_STREAM_S, Attempts, repeated, streamed
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


class Runs:
    """Starts, follows, stops and lists runs."""

    def __init__(self, stub: TrainingOrchestratorStub, deadline_s: float) -> None:
        self._stub = stub
        self._deadline_s = deadline_s

    def start(
        self, recipe: str | PathLike[str], overrides: Mapping[str, TomlValue] | None = None
    ) -> Run:
        """Queues a run of a recipe: its TOML text, or the `Path` of its file.

        Overrides name a field as "section.field". Relative paths of a recipe in a file start at
        its folder, as the trainer sees it.
        """
        return self._start(start_request(recipe, overrides or {}))

    def resume(self, run_id: str) -> Run:
        """Queues a run again, from its last checkpoint."""
        return self._start(resume_request(run_id))

    def watch(self, run_id: str, after: int = 0) -> Iterator[RunEvent]:
        """The events after a sequence number, to the end of the run.

        A stream that breaks is taken up where it was. Raises Unavailable where the trainer has
        not been reached for as long as the client's deadline.
        """
        request = pb.WatchRunRequest(run_id=run_id, after_sequence=after)
        attempts = Attempts(self._deadline_s)
        call = self._stub.WatchRun
        while True:
            for event in streamed(lambda _: call(request, timeout=LONG_STREAM_S), attempts):
                attempts.renew()
                request.after_sequence = event.sequence
                yield event_from_proto(event)
            if self.get(run_id).state.has_ended:
                return

    def stop(self, run_id: str, checkpoint: bool = True) -> Run:
        """Asks a run to end after its step."""
        request = stop_request(run_id, checkpoint)
        stop = self._stub.StopRun
        return run_from_proto(repeated(lambda t: stop(request, timeout=t), self._deadline_s))

    def get(self, run_id: str) -> Run:
        """A run as it stands. Raises NotFound."""
        request = pb.GetRunRequest(run_id=run_id)
        get = self._stub.GetRun
        return run_from_proto(repeated(lambda t: get(request, timeout=t), self._deadline_s))

    def list(self) -> Iterator[Run]:
        """All runs, newest first."""
        request = pb.ListRunsRequest()
        fetch = self._stub.ListRuns
        while True:
            page = repeated(lambda t: fetch(request, timeout=t), self._deadline_s)
            yield from map(run_from_proto, page.runs)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def _start(self, request: pb.StartRunRequest) -> Run:
        start = self._stub.StartRun
        return run_from_proto(repeated(lambda t: start(request, timeout=t), self._deadline_s))
