"""Measures and reads snapshots page by page, so that memory stays bounded whatever their size."""

from collections.abc import AsyncIterator
from functools import partial

from protos.v1.feedback_log_pb2 import CreateSnapshotRequest, Snapshot, SnapshotRecord
from services.common.embedded_media import media_of_record
from services.common.errors import DataLoss
from services.common.snapshot_digest import SnapshotDigest
from services.feedback import snapshots
from services.feedback.database import Database
from services.feedback.lanes import Lane
from services.feedback.media import MediaVault
from services.feedback.snapshots import Frozen


class SnapshotReader:
    """CreateSnapshot and ReadSnapshot over the database and the blobs."""

    def __init__(self, database: Database, files: Lane, vault: MediaVault) -> None:
        self._database, self._files, self._vault = database, files, vault

    async def create(self, request: CreateSnapshotRequest) -> Snapshot:
        """Freezes what the query matches now; a repeated request gets what it made before."""
        known = await self._database.read(lambda session: snapshots.find(session, request))
        if known is not None:
            return known
        measured = await self._measure(request)
        return await self._database.write(lambda log: snapshots.create(log, request, measured))

    async def read(self, snapshot_id: str) -> AsyncIterator[SnapshotRecord]:
        """Every record, with media as bytes. Raises DataLoss at the end if they have changed."""
        snapshot = await self._database.read(lambda s: snapshots.get(s, snapshot_id))
        frozen = Frozen(snapshot.query, snapshot.event_high_water)
        digest = SnapshotDigest()
        async for record in self._records(frozen):
            digest.add(record)
            yield await self._files.run(partial(self._with_bytes, record))
        if digest.hexdigest() != snapshot.sha256:
            raise DataLoss(f"the records of snapshot {snapshot_id!r} do not match its sha256")

    async def _measure(self, request: CreateSnapshotRequest) -> Snapshot:
        high_water = await self._database.read(snapshots.high_water)
        digest, num_items, num_judgements = SnapshotDigest(), 0, 0
        async for record in self._records(Frozen(request.query, high_water)):
            digest.add(record)
            num_items += 1
            num_judgements += len(record.judgements)
        return Snapshot(
            event_high_water=high_water,
            num_items=num_items,
            num_judgements=num_judgements,
            sha256=digest.hexdigest(),
        )

    async def _records(self, frozen: Frozen) -> AsyncIterator[SnapshotRecord]:
        after, has_more, inline = 0, True, self._vault.max_inline_bytes
        while has_more:
            page = await self._database.read(
                partial(snapshots.page, frozen=frozen, after=after, max_bytes=inline)
            )
            for record in page.messages:
                yield record
            after, has_more = (page.seqs or [after])[-1], page.has_more

    def _with_bytes(self, record: SnapshotRecord) -> SnapshotRecord:
        self._vault.attach(media_of_record(record), self._vault.max_inline_bytes)
        return record
