"""Media go in as bytes and are kept as hashes; they come out as bytes again.

Readers get bytes because a trainer on another host has no other way to them. What would make an
answer larger than a message may be stays a hash, for GetMedia.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TypeVar

from google.protobuf.message import Message

from models.preprocessing.media_types import sniff_mime_type
from protos.v1.media_pb2 import Media
from services.common.errors import InvalidArgument, NotFound
from services.feedback.blobs import BlobStore, check_sha256
from services.feedback.event_log import EventLog
from services.feedback.events import EventDraft, EventType

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class MediaRecord:
    """A blob as the log knows it; `mime_type` is what its first bytes show."""

    sha256: str
    modality: int
    mime_type: str | None
    size_bytes: int


class MediaVault:
    """Moves media between records and the blob store. Its methods block on files."""

    def __init__(self, blobs: BlobStore, max_media_bytes: int, max_inline_bytes: int) -> None:
        self.blobs = blobs
        self.max_media_bytes = max_media_bytes
        self.max_inline_bytes = max_inline_bytes

    def detach(self, media: Iterable[Media]) -> list[MediaRecord]:
        """Stores inline bytes, leaving hashes in their place; returns what was stored.

        Raises InvalidArgument for media that are too large or have no source.
        """
        return [self._detach_one(m) for m in media if self._has_bytes(m)]

    def attach(self, media: Iterable[Media], max_bytes: int) -> None:
        """Puts bytes in place of hashes, as far as they are held and `max_bytes` allows."""
        for item in media:
            size = self._held_bytes(item)
            if size is not None and size <= max_bytes:
                item.data = self.blobs.read(item.sha256)
                max_bytes -= size

    def attach_page(self, page: list[M], media_of: Callable[[M], Iterator[Media]]) -> list[M]:
        """As many of the first messages as fit one answer, with bytes; at least one."""
        left = self.max_inline_bytes
        fitting: list[M] = []
        for message in page:
            size = message.ByteSize() + sum(self._held_bytes(m) or 0 for m in media_of(message))
            if fitting and size > left:
                break
            self.attach(media_of(message), left)
            left -= size
            fitting.append(message)
        return fitting

    def _has_bytes(self, media: Media) -> bool:
        source = media.WhichOneof("source")
        if source is None:
            raise InvalidArgument("media has neither data nor sha256")
        if source == "sha256":
            check_sha256(media.sha256)
        return source == "data"

    def _detach_one(self, media: Media) -> MediaRecord:
        data = media.data
        check_media_size(len(data), self.max_media_bytes)
        media.sha256 = self.blobs.put(data)
        media.mime_type = sniff_mime_type(data) or ""
        return MediaRecord(media.sha256, media.modality, media.mime_type or None, len(data))

    def _held_bytes(self, media: Media) -> int | None:
        if media.WhichOneof("source") != "sha256":
            return None
        return self.blobs.size_bytes(media.sha256)


def check_media_size(size_bytes: int, max_bytes: int) -> None:
    """Raises InvalidArgument for empty or too large media."""
    if not 0 < size_bytes <= max_bytes:
        raise InvalidArgument(
            f"a media item of {size_bytes} bytes; allowed are 1 to {max_bytes} (max_media_mib)"
        )


def record_media(log: EventLog, records: Iterable[MediaRecord]) -> None:
    """Appends an event for each blob that the log does not know yet."""
    by_sha256 = {record.sha256: record for record in records}
    known = log.find(EventType.MEDIA_STORED, by_sha256)
    log.append(
        [
            EventDraft(
                EventType.MEDIA_STORED,
                key=sha256,
                payload=json.dumps(asdict(record), sort_keys=True).encode(),
                body_sha256=bytes.fromhex(sha256),
            )
            for sha256, record in by_sha256.items()
            if sha256 not in known
        ]
    )


def require_media(log: EventLog, hashes: Iterable[str], owner: str) -> None:
    """Raises NotFound unless the log knows these blobs."""
    wanted = set(hashes)
    if missing := wanted - log.find(EventType.MEDIA_STORED, wanted).keys():
        raise NotFound(
            f"{owner} names media {min(missing)}, which are not stored; put them first, or send "
            "their bytes"
        )
