"""Items and judgements through the feedback service's own interface, and their snapshot."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TypeVar
from uuid import uuid4

from protos.v1 import feedback_log_pb2, judgement_pb2
from protos.v1.feedback_log_pb2_grpc import FeedbackLogStub
from services.cli.errors import UserError

_ITEMS_PER_REQUEST = 100
_JUDGEMENTS_PER_REQUEST = 500

T = TypeVar("T")
OnDone = Callable[[int], None]


def put_items(
    feedback: FeedbackLogStub, items: Sequence[feedback_log_pb2.Item], on_done: OnDone
) -> None:
    """Stores items with their candidates; `on_done` hears of each batch."""
    for batch in _batches(items, _ITEMS_PER_REQUEST):
        request = feedback_log_pb2.PutItemsRequest(request_id=uuid4().hex, items=batch)
        feedback.PutItems(request)
        on_done(len(batch))


def submit_judgements(
    feedback: FeedbackLogStub, judgements: Sequence[judgement_pb2.Judgement], on_done: OnDone
) -> None:
    """Stores judgements. Raises UserError where one was refused."""
    for batch in _batches(judgements, _JUDGEMENTS_PER_REQUEST):
        request = feedback_log_pb2.SubmitJudgementsRequest(judgements=batch)
        for receipt in feedback.SubmitJudgements(request).receipts:
            if receipt.error:
                raise UserError(f"the feedback service refused a judgement: {receipt.error}")
        on_done(len(batch))


def freeze(
    feedback: FeedbackLogStub, project: str, split: str, kind: judgement_pb2.RaterKind.ValueType
) -> feedback_log_pb2.Snapshot:
    """A snapshot of the pairs that raters of one kind judged in one split of a project."""
    query = feedback_log_pb2.SnapshotQuery(
        project=project, splits=[split], rater_kinds=[kind], judgement_kinds=["pair"]
    )
    request = feedback_log_pb2.CreateSnapshotRequest(
        request_id=uuid4().hex, name=f"{project} {split}", query=query
    )
    return feedback.CreateSnapshot(request)


def _batches(values: Iterable[T], size: int) -> Iterable[list[T]]:
    rest = iter(values)
    while batch := list(islice(rest, size)):
        yield batch
