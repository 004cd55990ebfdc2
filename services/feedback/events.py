"""What an event is: its types, and how the content of each is written down.

Payloads are protobuf messages of `protos/v1`, with media by hash; media.stored is JSON.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from google.protobuf.message import Message

SCHEMA_VERSION = 1


class EventType(StrEnum):
    """`noun.past_participle`; the message that each carries is given beside it."""

    MEDIA_STORED = "media.stored"  # JSON of media.MediaRecord
    TRAJECTORY_LOGGED = "trajectory.logged"  # Trajectory
    ITEM_PUT = "item.put"  # Item
    JUDGEMENT_SUBMITTED = "judgement.submitted"  # Judgement
    SNAPSHOT_CREATED = "snapshot.created"  # Snapshot


@dataclass(frozen=True, slots=True)
class EventDraft:
    """An event that is to be appended."""

    type: EventType
    key: str  # idempotency key, unique within the type
    payload: bytes
    body_sha256: bytes
    actor: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """An event of the log, as projections read it."""

    seq: int
    type: EventType
    payload: bytes


def encode(message: Message) -> bytes:
    """A message as an event keeps it; equal messages give equal bytes."""
    return message.SerializeToString(deterministic=True)


def digest(message: Message) -> bytes:
    """What tells whether a repeated key came with the same body."""
    return hashlib.sha256(encode(message)).digest()
