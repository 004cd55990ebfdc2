"""The sha256 of a snapshot: the feedback service writes it, a trainer checks what it has read."""

import hashlib

from protos.v1.feedback_log_pb2 import SnapshotRecord
from services.common.embedded_media import media_of_record, replace_bytes_by_hash


class SnapshotDigest:
    """sha256 over the records in order.

    Each record counts with its media as hashes, whether they came inline or not, in deterministic
    protobuf encoding, preceded by its length as eight bytes, little-endian.
    """

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def add(self, record: SnapshotRecord) -> None:
        """Takes the next record in."""
        by_hash = SnapshotRecord()
        by_hash.CopyFrom(record)
        for media in media_of_record(by_hash):
            replace_bytes_by_hash(media)
        encoded = by_hash.SerializeToString(deterministic=True)
        self._sha256.update(len(encoded).to_bytes(8, "little"))
        self._sha256.update(encoded)

    def hexdigest(self) -> str:
        """What `Snapshot.sha256` says if these are all its records."""
        return self._sha256.hexdigest()
