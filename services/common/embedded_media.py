"""The media within feedback records, so that bytes can be replaced by hashes and back."""

import hashlib
from collections.abc import Iterable, Iterator

from protos.v1.content_pb2 import Message, Part
from protos.v1.feedback_log_pb2 import Item, SnapshotRecord
from protos.v1.judgement_pb2 import Judgement
from protos.v1.media_pb2 import Media
from protos.v1.trajectory_pb2 import Trajectory


def media_of_item(item: Item) -> Iterator[Media]:
    """Every media item of a prompt and its candidates, in order, to be changed in place."""
    yield from _of_messages(item.prompt.messages)
    yield from _of_messages(candidate.answer for candidate in item.candidates)


def media_of_trajectory(trajectory: Trajectory) -> Iterator[Media]:
    """Every media item of a prompt and its samples."""
    yield from _of_messages(trajectory.prompt.messages)
    for sample in trajectory.group.samples:
        yield from _of_parts(sample.parts)


def media_of_judgement(judgement: Judgement) -> Iterator[Media]:
    """Every media item of an edited answer; other kinds of judgement have none."""
    if judgement.WhichOneof("kind") == "edit":
        yield from _of_parts(judgement.edit.edited.parts)


def media_of_record(record: SnapshotRecord) -> Iterator[Media]:
    """Every media item of a snapshot's record."""
    yield from media_of_item(record.item)
    for judgement in record.judgements:
        yield from media_of_judgement(judgement)


def replace_bytes_by_hash(media: Media) -> None:
    """Leaves the hash of the bytes in their place; a hash stays as it is."""
    if media.WhichOneof("source") == "data":
        media.sha256 = hashlib.sha256(media.data).hexdigest()


def _of_messages(messages: Iterable[Message]) -> Iterator[Media]:
    for message in messages:
        yield from _of_parts(message.parts)


def _of_parts(parts: Iterable[Part]) -> Iterator[Media]:
    for part in parts:
        if part.WhichOneof("kind") == "media":
            yield part.media
