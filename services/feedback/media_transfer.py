"""Media over the wire in pieces: PutMedia and GetMedia."""

from collections.abc import AsyncIterator
from functools import partial

from models.preprocessing.media_types import sniff_mime_type
from protos.v1.feedback_log_pb2 import (
    GetMediaResponse,
    PutMediaHeader,
    PutMediaRequest,
    PutMediaResponse,
)
from protos.v1.media_pb2 import Modality
from services.common.errors import InvalidArgument, NotFound
from services.feedback.blobs import BlobWriter, check_sha256
from services.feedback.database import Database
from services.feedback.event_log import EventLog
from services.feedback.events import EventType
from services.feedback.lanes import Lane
from services.feedback.media import MediaRecord, MediaVault, check_media_size, record_media
from services.feedback.tables import MediaRow
from services.feedback.validation import check_choice


class MediaTransfer:
    """Streams blobs in and out; disk work goes to the files lane."""

    def __init__(self, database: Database, files: Lane, vault: MediaVault) -> None:
        self._database, self._files, self._vault = database, files, vault

    async def put(self, requests: AsyncIterator[PutMediaRequest]) -> PutMediaResponse:
        """Stores a stream of a header and the bytes it announces. Raises InvalidArgument."""
        header = await self._header(requests)
        writer = await self._files.run(self._vault.blobs.writer)
        try:
            async for request in requests:
                _check_piece(request, writer, header)
                await self._files.run(partial(writer.add, request.data))
            _check_complete(writer, header)
            sha256 = await self._files.run(writer.finish)
        finally:
            writer.discard()
        mime_type = sniff_mime_type(writer.head)
        record = MediaRecord(sha256, header.modality, mime_type, writer.size_bytes)
        existed = await self._database.write(lambda log: _record(log, record))
        return PutMediaResponse(sha256=sha256, existed=existed)

    async def get(self, sha256: str) -> AsyncIterator[GetMediaResponse]:
        """The pieces of a blob, the first with its type and size. Raises NotFound, DataLoss."""
        check_sha256(sha256)
        row = await self._database.read(lambda session: session.get(MediaRow, sha256))
        if row is None or self._vault.blobs.size_bytes(sha256) is None:
            raise NotFound(f"no media {sha256}")
        yield GetMediaResponse(mime_type=row.mime_type or "", size_bytes=row.size_bytes)
        chunks = self._vault.blobs.chunks(sha256)
        while piece := await self._files.run(partial(next, chunks, b"")):
            yield GetMediaResponse(data=piece)

    async def _header(self, requests: AsyncIterator[PutMediaRequest]) -> PutMediaHeader:
        first = await anext(aiter(requests), None)
        if first is None or first.WhichOneof("part") != "header":
            raise InvalidArgument("the first message of PutMedia must be its header")
        check_choice("header.modality", first.header.modality, Modality)
        check_media_size(first.header.size_bytes, self._vault.max_media_bytes)
        return first.header


def _check_piece(request: PutMediaRequest, writer: BlobWriter, header: PutMediaHeader) -> None:
    if request.WhichOneof("part") != "data":
        raise InvalidArgument("after its header, every message of PutMedia must be data")
    if writer.size_bytes + len(request.data) > header.size_bytes:
        raise InvalidArgument(f"more data came than the {header.size_bytes} bytes of the header")


def _check_complete(writer: BlobWriter, header: PutMediaHeader) -> None:
    if writer.size_bytes < header.size_bytes:
        raise InvalidArgument(
            f"the stream ended after {writer.size_bytes} of the {header.size_bytes} bytes of its "
            "header"
        )


def _record(log: EventLog, record: MediaRecord) -> bool:
    existed = bool(log.find(EventType.MEDIA_STORED, [record.sha256]))
    record_media(log, [record])
    return existed
