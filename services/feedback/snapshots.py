"""Snapshots: what a query matched at one point of the event log, the same at every reading.

A snapshot is a query and a high-water mark. Events never change and the mark fences off later
ones, so reading again gives the same records in the same order; the sha256 proves it.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from protos.v1.feedback_log_pb2 import (
    CreateSnapshotRequest,
    Snapshot,
    SnapshotQuery,
    SnapshotRecord,
)
from protos.v1.judgement_pb2 import Judgement
from services.common.errors import AlreadyExists, InvalidArgument, NotFound
from services.feedback.event_log import EventLog, find_events
from services.feedback.events import EventDraft, EventType, digest, encode
from services.feedback.pages import Page, take_page
from services.feedback.projections import item_of
from services.feedback.tables import EventRow, ItemRow, JudgementRow, SnapshotRow
from services.feedback.validation import KINDS

# Items per page: a page is what a reading holds in memory.
_PAGE_ITEMS = 64


@dataclass(frozen=True, slots=True)
class Frozen:
    """What a snapshot's records are drawn from."""

    query: SnapshotQuery
    high_water: int


def check_request(request: CreateSnapshotRequest) -> None:
    """Raises InvalidArgument for kinds of judgement that there are not."""
    for kind in request.query.judgement_kinds:
        if kind not in KINDS:
            raise InvalidArgument(
                f"query.judgement_kinds has {kind!r}; there are {', '.join(KINDS)}"
            )


def high_water(session: Session) -> int:
    """The number of the newest committed event."""
    return session.scalar(select(func.max(EventRow.seq))) or 0


def page(session: Session, frozen: Frozen, after: int, max_bytes: int) -> Page[SnapshotRecord]:
    """Records of items that came after event `after`, in the order the items came."""
    items = session.execute(_item_query(frozen, after)).all()
    judgements = _judgements_by_item(session, frozen, [row.item_id for row in items])
    found = (
        (
            row.seq,
            SnapshotRecord(
                item=item_of(EventType(row.type), row.payload), judgements=judgements[row.item_id]
            ),
        )
        for row in items
    )
    taken = take_page(found, _PAGE_ITEMS, max_bytes)
    return Page(taken.seqs, taken.messages, taken.has_more or len(items) == _PAGE_ITEMS)


def create(log: EventLog, request: CreateSnapshotRequest, measured: Snapshot) -> Snapshot:
    """Stores a snapshot that was measured; the first one, if the request was repeated."""
    known = find(log.session, request)
    if known is not None:
        return known
    snapshot = Snapshot(
        snapshot_id=f"snapshot-{uuid.uuid4().hex[:16]}",
        name=request.name,
        query=request.query,
        created_at_s=log.at_s,
    )
    snapshot.MergeFrom(measured)
    key = request.request_id or snapshot.snapshot_id
    draft = EventDraft(EventType.SNAPSHOT_CREATED, key, encode(snapshot), digest(request))
    log.append([draft])
    return snapshot


def find(session: Session, request: CreateSnapshotRequest) -> Snapshot | None:
    """What this request made before. Raises AlreadyExists if its id came with another body."""
    key = request.request_id
    known = find_events(session, EventType.SNAPSHOT_CREATED, [key]).get(key)
    if known is None:
        return None
    if known.body_sha256 != digest(request):
        raise AlreadyExists(
            f"request_id {request.request_id!r} was used with another body; use a new one"
        )
    return Snapshot.FromString(known.payload)


def get(session: Session, snapshot_id: str) -> Snapshot:
    """A snapshot's description. Raises NotFound."""
    payload = session.scalar(_snapshot_query().where(SnapshotRow.snapshot_id == snapshot_id))
    if payload is None:
        raise NotFound(f"no snapshot {snapshot_id!r}")
    return Snapshot.FromString(payload)


def each(session: Session, project: str) -> Iterator[Snapshot]:
    """The snapshots of a project, or of all, oldest first."""
    query = _snapshot_query().order_by(SnapshotRow.seq)
    if project:
        query = query.where(SnapshotRow.project == project)
    return (Snapshot.FromString(payload) for payload in session.scalars(query))


def _snapshot_query() -> Select[bytes]:
    return select(EventRow.payload).join(SnapshotRow, SnapshotRow.seq == EventRow.seq)


def _item_query(frozen: Frozen, after: int) -> Select[int, str, bytes, str]:
    query, has_judgement = (
        frozen.query,
        _judgement_query(frozen).where(JudgementRow.item_id == ItemRow.item_id),
    )
    items = (
        select(EventRow.seq, EventRow.type, EventRow.payload, ItemRow.item_id)
        .join(ItemRow, ItemRow.seq == EventRow.seq)
        .where(ItemRow.seq > after, ItemRow.seq <= frozen.high_water, has_judgement.exists())
        .order_by(ItemRow.seq)
        .limit(_PAGE_ITEMS)
    )
    if query.project:
        items = items.where(ItemRow.project == query.project)
    if query.splits:
        items = items.where(ItemRow.split.in_(query.splits))
    if query.tasks:
        items = items.where(ItemRow.task.in_(query.tasks))
    return items


def _judgement_query(frozen: Frozen) -> Select[int, str]:
    judgements = select(JudgementRow.seq, JudgementRow.item_id).where(
        JudgementRow.seq <= frozen.high_water
    )
    if frozen.query.rater_kinds:
        judgements = judgements.where(JudgementRow.rater_kind.in_(frozen.query.rater_kinds))
    if frozen.query.judgement_kinds:
        judgements = judgements.where(JudgementRow.kind.in_(frozen.query.judgement_kinds))
    return judgements


def _judgements_by_item(
    session: Session, frozen: Frozen, item_ids: Sequence[str]
) -> defaultdict[str, list[Judgement]]:
    rows = session.execute(
        _judgement_query(frozen)
        .add_columns(EventRow.payload)
        .join(EventRow, EventRow.seq == JudgementRow.seq)
        .where(JudgementRow.item_id.in_(item_ids))
        .order_by(JudgementRow.seq)
    )
    found: defaultdict[str, list[Judgement]] = defaultdict(list)
    for _, item_id, payload in rows:
        found[item_id].append(Judgement.FromString(payload))
    return found
