"""Items to be judged: put by clients once and never changed, listed in the order they came."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from protos.v1.feedback_log_pb2 import Item, ListItemsRequest, PutItemsResponse
from services.common.embedded_media import media_of_item
from services.common.errors import AlreadyExists, FailedPrecondition, InvalidArgument
from services.feedback.event_log import EventLog
from services.feedback.events import EventDraft, EventType, digest, encode
from services.feedback.media import MediaRecord, MediaVault, record_media, require_media
from services.feedback.pages import Page, page_limit, start_after, take_page
from services.feedback.projections import item_of
from services.feedback.tables import EventRow, ItemRow
from services.feedback.validation import check_id

_YIELD_ROWS = 50


@dataclass(frozen=True, slots=True)
class PreparedItem:
    """A sound item with its media by hash, and the blobs that it brought."""

    item: Item
    media: list[MediaRecord]


def prepare_item(item: Item, vault: MediaVault) -> PreparedItem:
    """Checks an item and stores its media as blobs. Raises InvalidArgument."""
    check_item(item)
    detached = Item()
    detached.CopyFrom(item)
    return PreparedItem(detached, vault.detach(media_of_item(detached)))


def check_item(item: Item) -> None:
    """Raises InvalidArgument for an item that could not be judged."""
    check_id("item_id", item.item_id)
    check_id(f"project of item {item.item_id!r}", item.project)
    if not item.prompt.messages:
        raise InvalidArgument(f"item {item.item_id!r} has no prompt")
    if not item.candidates:
        raise InvalidArgument(f"item {item.item_id!r} has no candidates to judge")
    ids = [candidate.candidate_id for candidate in item.candidates]
    for candidate_id in ids:
        check_id(f"candidate_id in item {item.item_id!r}", candidate_id)
    if len(set(ids)) < len(ids):
        raise InvalidArgument(f"item {item.item_id!r} names a candidate twice: {', '.join(ids)}")


def put(log: EventLog, prepared: Sequence[PreparedItem]) -> PutItemsResponse:
    """Stores the items that are new; all of them or, on an error, none.

    Raises AlreadyExists for an id that is taken by another item, NotFound for media that are not
    held, FailedPrecondition for a group that would straddle two splits.
    """
    fresh, repeated = _fresh_items(log, prepared)
    record_media(log, [record for p in fresh for record in p.media])
    for p in fresh:
        hashes = [media.sha256 for media in media_of_item(p.item)]
        require_media(log, hashes, f"item {p.item.item_id!r}")
    _check_groups(log.session, [p.item for p in fresh])
    log.append([_draft(p.item) for p in fresh])
    return PutItemsResponse(stored=len(fresh), repeated_count=repeated)


def page(session: Session, request: ListItemsRequest, max_page: int, max_bytes: int) -> Page[Item]:
    """A page of items, media by hash."""
    after = start_after(request.page_token, filters(request))
    query = (
        select(EventRow.seq, EventRow.type, EventRow.payload)
        .join(ItemRow, ItemRow.seq == EventRow.seq)
        .where(EventRow.seq > after)
        .order_by(EventRow.seq)
        .execution_options(yield_per=_YIELD_ROWS)
    )
    if request.project:
        query = query.where(ItemRow.project == request.project)
    if request.split:
        query = query.where(ItemRow.split == request.split)
    rows = session.execute(query)
    found = ((row.seq, item_of(EventType(row.type), row.payload)) for row in rows)
    return take_page(found, page_limit(request.page_size, max_page), max_bytes)


def filters(request: ListItemsRequest) -> list[str]:
    """What a page token is bound to."""
    return ["items", request.project, request.split]


def _fresh_items(log: EventLog, prepared: Sequence[PreparedItem]) -> tuple[list[PreparedItem], int]:
    ids = [p.item.item_id for p in prepared]
    bodies = {k: v.body_sha256 for k, v in log.find(EventType.ITEM_PUT, ids).items()}
    taken = _existing_ids(log.session, ids) - bodies.keys()  # by an application's trajectory
    fresh: list[PreparedItem] = []
    for p in prepared:
        item_id, body = p.item.item_id, digest(p.item)
        known = bodies.get(item_id)
        if item_id in taken or known not in (None, body):
            raise AlreadyExists(
                f"item {item_id!r} exists with other content; items never change, use a new id"
            )
        if known is None:
            bodies[item_id] = body
            fresh.append(p)
    return fresh, len(prepared) - len(fresh)


def _existing_ids(session: Session, ids: Sequence[str]) -> set[str]:
    return set(session.scalars(select(ItemRow.item_id).where(ItemRow.item_id.in_(ids))))


def _check_groups(session: Session, items: Sequence[Item]) -> None:
    keys = {item.group_key for item in items if item.group_key}
    known = session.execute(
        select(ItemRow.project, ItemRow.group_key, ItemRow.split).where(ItemRow.group_key.in_(keys))
    )
    splits = {(row.project, row.group_key): row.split for row in known}
    for item in items:
        if not item.group_key:
            continue
        split = splits.setdefault((item.project, item.group_key), item.split)
        if split != item.split:
            raise FailedPrecondition(
                f"item {item.item_id!r} of split {item.split!r} has group_key {item.group_key!r}, "
                f"whose items are in split {split!r}; a group never straddles a split"
            )


def _draft(item: Item) -> EventDraft:
    return EventDraft(EventType.ITEM_PUT, item.item_id, encode(item), digest(item))
