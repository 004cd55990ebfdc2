"""`attune.v1.FeedbackLog`: each RPC checks its request and hands the blocking part to a lane."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from protos.v1 import feedback_log_pb2 as pb
from protos.v1 import feedback_log_pb2_grpc as pb_grpc
from protos.v1.trajectory_pb2 import Trajectory
from services.common.embedded_media import (
    media_of_item,
    media_of_judgement,
    media_of_trajectory,
)
from services.common.errors import InvalidArgument
from services.common.idempotency import IdempotencyCache
from services.common.server import OpenServicers, Registration
from services.feedback import items, judgements, snapshots, trajectories
from services.feedback.blobs import BlobStore
from services.feedback.config import FeedbackConfig
from services.feedback.database import Database
from services.feedback.lanes import Lane
from services.feedback.media import MediaVault
from services.feedback.media_transfer import MediaTransfer
from services.feedback.metrics import FeedbackMetrics
from services.feedback.pages import next_token
from services.feedback.snapshot_reader import SnapshotReader

M = TypeVar("M", bound=Message)

_FULL_NAME = pb.DESCRIPTOR.services_by_name["FeedbackLog"].full_name
_Context = grpc.aio.ServicerContext[Any, Any]


class FeedbackLog(pb_grpc.FeedbackLogServicer):
    """The servicer; its state is in the database and the blobs."""

    def __init__(
        self,
        config: FeedbackConfig,
        database: Database,
        files: Lane,
        vault: MediaVault,
        metrics: FeedbackMetrics,
    ) -> None:
        self._config, self._database, self._files = config, database, files
        self._vault, self._metrics = vault, metrics
        self._transfer = MediaTransfer(database, files, vault)
        self._snapshots = SnapshotReader(database, files, vault)
        self._creations = IdempotencyCache()

    async def PutMedia(
        self, request_iterator: AsyncIterator[pb.PutMediaRequest], context: _Context
    ) -> pb.PutMediaResponse:
        return await self._transfer.put(request_iterator)

    async def GetMedia(
        self, request: pb.GetMediaRequest, context: _Context
    ) -> AsyncIterator[pb.GetMediaResponse]:
        async for response in self._transfer.get(request.sha256):
            yield response

    async def LogTrajectories(
        self, request: pb.LogTrajectoriesRequest, context: _Context
    ) -> pb.LogTrajectoriesResponse:
        """Stores what is sound, then reports what was refused."""
        batch = self._checked(request.trajectories, "trajectories")
        prepared = await self._files.run(
            lambda: [trajectories.prepare(t, self._vault) for t in batch]
        )
        outcome = await self._database.write(lambda log: trajectories.log_batch(log, prepared))
        self._metrics.count_trajectories(outcome.stored, outcome.repeated, len(outcome.refused))
        if error := trajectories.refusal(outcome):
            raise error
        return pb.LogTrajectoriesResponse(stored=outcome.stored, repeated_count=outcome.repeated)

    async def GetTrajectory(
        self, request: pb.GetTrajectoryRequest, context: _Context
    ) -> Trajectory:
        found = await self._database.read(lambda s: trajectories.get(s, request.trajectory_id))
        [trajectory] = await self._files.run(
            lambda: self._vault.attach_page([found], media_of_trajectory)
        )
        return trajectory

    async def PutItems(self, request: pb.PutItemsRequest, context: _Context) -> pb.PutItemsResponse:
        """Stores all items of the request or none."""
        batch = self._checked(request.items, "items")
        prepared = await self._files.run(
            lambda: [items.prepare_item(i, self._vault) for i in batch]
        )
        return await self._database.write(lambda log: items.put(log, prepared))

    async def ListItems(
        self, request: pb.ListItemsRequest, context: _Context
    ) -> pb.ListItemsResponse:
        most, inline = self._config.max_page, self._vault.max_inline_bytes
        page = await self._database.read(lambda s: items.page(s, request, most, inline))
        sent = await self._files.run(lambda: self._vault.attach_page(page.messages, media_of_item))
        token = next_token(page, len(sent), items.filters(request))
        return pb.ListItemsResponse(items=sent, next_page_token=token)

    async def SubmitJudgements(
        self, request: pb.SubmitJudgementsRequest, context: _Context
    ) -> pb.SubmitJudgementsResponse:
        batch = self._checked(request.judgements, "judgements")
        prepared = await self._files.run(
            lambda: [judgements.prepare(j, self._vault) for j in batch]
        )
        receipts = await self._database.write(lambda log: judgements.submit(log, prepared))
        for judgement, receipt in zip(batch, receipts, strict=True):
            self._metrics.count_judgement(judgement, receipt)
        return pb.SubmitJudgementsResponse(receipts=receipts)

    async def ListJudgements(
        self, request: pb.ListJudgementsRequest, context: _Context
    ) -> pb.ListJudgementsResponse:
        most, inline = self._config.max_page, self._vault.max_inline_bytes
        page = await self._database.read(lambda s: judgements.page(s, request, most, inline))
        sent = await self._files.run(
            lambda: self._vault.attach_page(page.messages, media_of_judgement)
        )
        token = next_token(page, len(sent), judgements.filters(request))
        return pb.ListJudgementsResponse(judgements=sent, next_page_token=token)

    async def CreateSnapshot(
        self, request: pb.CreateSnapshotRequest, context: _Context
    ) -> pb.Snapshot:
        snapshots.check_request(request)
        return await self._creations.run(
            request.request_id, request, lambda: self._snapshots.create(request)
        )

    async def ListSnapshots(
        self, request: pb.ListSnapshotsRequest, context: _Context
    ) -> pb.ListSnapshotsResponse:
        found = await self._database.read(lambda s: list(snapshots.each(s, request.project)))
        return pb.ListSnapshotsResponse(snapshots=found)

    async def ReadSnapshot(
        self, request: pb.ReadSnapshotRequest, context: _Context
    ) -> AsyncIterator[pb.SnapshotRecord]:
        async for record in self._snapshots.read(request.snapshot_id):
            yield record

    def _checked(self, records: Sequence[M], name: str) -> Sequence[M]:
        if len(records) > self._config.max_batch:
            raise InvalidArgument(
                f"{len(records)} {name} in one request; at most {self._config.max_batch} "
                "(max_batch) are taken, send them in several"
            )
        return records


def open_servicers(config: FeedbackConfig) -> OpenServicers:
    """What `running_service` and `run_service` serve."""

    @asynccontextmanager
    async def opened(registry: CollectorRegistry) -> AsyncIterator[list[Registration]]:
        metrics = FeedbackMetrics(registry)
        blobs = BlobStore(config.folder / "blobs", metrics.blob_bytes.inc)
        vault = MediaVault(blobs, config.max_media_mib << 20, config.max_inline_mib << 20)
        database = Database(config, metrics)
        files = Lane("files", config.readers, config.max_pending)
        metrics.watch_lane("files", files.pending)
        servicer = FeedbackLog(config, database, files, vault, metrics)
        try:
            yield [Registration(_FULL_NAME, partial(_add, servicer))]
        finally:
            files.close()
            database.close()

    return opened


def _add(servicer: FeedbackLog, server: grpc.aio.Server) -> None:
    pb_grpc.add_FeedbackLogServicer_to_server(servicer, server)
