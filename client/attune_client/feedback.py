"""The feedback log for blocking code: `client.feedback`."""

import time
from collections.abc import Iterator, Sequence

from attune_client.judging import Judging
from attune_client.protos.v1 import feedback_log_pb2 as pb
from attune_client.protos.v1.feedback_log_pb2_grpc import FeedbackLogStub
from attune_client.protos.v1.judgement_pb2 import Judgement
from attune_client.protos.v1.trajectory_pb2 import Trajectory
from attune_client.records import (
    RECORDED_POLL_S,
    Item,
    may_be_on_its_way,
    put_items_request,
    receipt_error,
    snapshot_request,
)
from attune_client.retries import LONG_STREAM_S, Attempts, repeated, streamed


class Feedback(Judging[str]):
    """Judges, puts items to be judged, and reads what was said; records are the contract's own."""

    def __init__(self, stub: FeedbackLogStub, deadline_s: float) -> None:
        self._stub = stub
        self._deadline_s = deadline_s

    def put_items(self, items: Sequence[Item]) -> int:
        """Stores items; gives how many of them are new."""
        request = put_items_request(items)
        put = self._stub.PutItems
        return repeated(lambda t: put(request, timeout=t), self._deadline_s).stored

    def judgements(
        self, project: str = "", item_id: str = "", rater_id: str = ""
    ) -> Iterator[Judgement]:
        """All judgements of a project, an item, a rater; in the order in which they came."""
        request = pb.ListJudgementsRequest(project=project, item_id=item_id, rater_id=rater_id)
        fetch = self._stub.ListJudgements
        while True:
            page = repeated(lambda t: fetch(request, timeout=t), self._deadline_s)
            yield from page.judgements
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def trajectory(self, completion_id: str) -> Trajectory:
        """A completion as it was recorded. Raises NotFound."""
        request = pb.GetTrajectoryRequest(trajectory_id=completion_id)
        get = self._stub.GetTrajectory
        return repeated(lambda t: get(request, timeout=t), self._deadline_s)

    def create_snapshot(
        self, name: str, project: str = "", splits: Sequence[str] = (), kinds: Sequence[str] = ()
    ) -> pb.Snapshot:
        """Freezes what the query matches now; empty matches all."""
        request = snapshot_request(name, project, splits, kinds)
        create = self._stub.CreateSnapshot
        return repeated(lambda t: create(request, timeout=t), self._deadline_s)

    def read_snapshot(self, snapshot_id: str) -> Iterator[pb.SnapshotRecord]:
        """Its items with their judgements; always the same ones in the same order."""
        request = pb.ReadSnapshotRequest(snapshot_id=snapshot_id)
        attempts = Attempts(self._deadline_s)
        read: set[str] = set()
        call = self._stub.ReadSnapshot
        for record in streamed(lambda _: call(request, timeout=LONG_STREAM_S), attempts):
            attempts.renew()
            if record.item.item_id not in read:
                read.add(record.item.item_id)
                yield record

    def _submit(self, judgement: Judgement) -> str:
        request = pb.SubmitJudgementsRequest(judgements=[judgement])
        started_s = time.monotonic()
        submit = self._stub.SubmitJudgements
        while True:
            response = repeated(lambda t: submit(request, timeout=t), self._deadline_s)
            error = receipt_error(response)
            if error is None:
                return response.receipts[0].judgement_id
            if not may_be_on_its_way(error, time.monotonic() - started_s):
                raise error
            time.sleep(RECORDED_POLL_S)
