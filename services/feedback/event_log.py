"""The one way to write: appends events and their projections within the caller's transaction."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, insert, select, text
from sqlalchemy.orm import Session

from services.feedback.events import SCHEMA_VERSION, Event, EventDraft, EventType
from services.feedback.projections import project
from services.feedback.tables import EventRow

# Any number that other applications on the same PostgreSQL server do not use.
_ADVISORY_LOCK = int.from_bytes(hashlib.sha256(b"attune.feedback.event").digest()[:7], "big")


@dataclass(frozen=True, slots=True)
class Known:
    """An event that an idempotency key led to."""

    body_sha256: bytes
    payload: bytes


@dataclass(slots=True)
class EventLog:
    """The log within one write transaction, which no other writer shares."""

    session: Session
    at_s: float
    appended: Counter[EventType] = field(default_factory=Counter)

    def find(self, type_: EventType, keys: Iterable[str]) -> dict[str, Known]:
        """The events that these idempotency keys made, by key."""
        return find_events(self.session, type_, keys)

    def append(self, drafts: Sequence[EventDraft]) -> None:
        """Writes events in order, and what follows from them into the projections."""
        if not drafts:
            return
        first = (self.session.scalar(select(func.max(EventRow.seq))) or 0) + 1
        self.session.execute(
            insert(EventRow), [self._row(seq, d) for seq, d in enumerate(drafts, first)]
        )
        project(self.session, [Event(s, d.type, d.payload) for s, d in enumerate(drafts, first)])
        self.appended.update(draft.type for draft in drafts)

    def _row(self, seq: int, draft: EventDraft) -> dict[str, object]:
        return {
            "seq": seq,
            "at_s": self.at_s,
            "actor": draft.actor,
            "type": draft.type.value,
            "payload": draft.payload,
            "idempotency_key": _stored_key(draft.type, draft.key),
            "body_sha256": draft.body_sha256,
            "schema_version": SCHEMA_VERSION,
        }


def find_events(session: Session, type_: EventType, keys: Iterable[str]) -> dict[str, Known]:
    """The events that these idempotency keys made, by key."""
    stored = {_stored_key(type_, key): key for key in keys}
    rows = session.execute(
        select(EventRow.idempotency_key, EventRow.body_sha256, EventRow.payload).where(
            EventRow.idempotency_key.in_(stored)
        )
    )
    return {stored[row.idempotency_key]: Known(row.body_sha256, row.payload) for row in rows}


def exclude_other_writers(session: Session) -> None:
    """Makes the order of `seq` the order of commit, which a snapshot's high-water mark relies on.

    SQLite's BEGIN IMMEDIATE does so by itself.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})


def _stored_key(type_: EventType, key: str) -> str:
    return f"{type_.value}:{key}"
