"""Items, listings and snapshots of the feedback log: the requests that both clients send."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from attune_client.content import Content, Message, Prompt, answer_to_proto, prompt_to_proto
from attune_client.errors import AttuneError, NotFound, from_receipt
from attune_client.protos.v1 import feedback_log_pb2 as pb

# A completion reaches the log a moment after it was answered; until then it cannot be judged.
RECORDED_WITHIN_S = 3.0
RECORDED_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Item:
    """A prompt with candidate answers, by their ids, to be judged."""

    item_id: str
    prompt: Prompt
    candidates: Mapping[str, Content | Message]
    project: str = "default"
    task: str = ""
    split: str = "train"
    group_key: str = ""  # items of one key never straddle a split
    metadata: Mapping[str, str] = field(default_factory=dict)


def put_items_request(items: Sequence[Item]) -> pb.PutItemsRequest:
    """A request under a key of its own."""
    return pb.PutItemsRequest(request_id=uuid.uuid4().hex, items=map(_item_to_proto, items))


def snapshot_request(
    name: str, project: str, splits: Sequence[str], kinds: Sequence[str]
) -> pb.CreateSnapshotRequest:
    """A request under a key of its own."""
    query = pb.SnapshotQuery(project=project, splits=splits, judgement_kinds=kinds)
    return pb.CreateSnapshotRequest(request_id=uuid.uuid4().hex, name=name, query=query)


def receipt_error(response: pb.SubmitJudgementsResponse) -> AttuneError | None:
    """What the only judgement of a request was refused for."""
    text = response.receipts[0].error
    return from_receipt(text) if text else None


def may_be_on_its_way(error: AttuneError, waited_s: float) -> bool:
    """Whether a judged completion may only not have been recorded yet."""
    return isinstance(error, NotFound) and waited_s < RECORDED_WITHIN_S


def _item_to_proto(item: Item) -> pb.Item:
    return pb.Item(
        item_id=item.item_id,
        project=item.project,
        prompt=prompt_to_proto(item.prompt),
        candidates=[
            pb.Candidate(candidate_id=name, answer=answer_to_proto(answer))
            for name, answer in item.candidates.items()
        ],
        task=item.task,
        split=item.split,
        group_key=item.group_key,
        metadata=item.metadata,
    )
