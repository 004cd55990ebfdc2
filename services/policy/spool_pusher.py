"""Sends spooled trajectories to the feedback service, and deletes what it acknowledged."""

import asyncio
import hashlib
from pathlib import Path

import grpc

from protos.v1 import feedback_log_pb2 as pb
from protos.v1 import feedback_log_pb2_grpc
from protos.v1.trajectory_pb2 import Trajectory
from services.common.client import open_aio_channel
from services.common.errors import AlreadyExists, AttuneError, InvalidArgument, from_rpc
from services.common.logs import get_logger
from services.policy.spool import Spool

_BATCH_FILES, _BATCH_BYTES = 64, 16 << 20
_CALL_TIMEOUT_S = 30.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 5.0
# What no repeat can mend: the trajectory itself is refused.
_FINAL = (AlreadyExists, InvalidArgument)


class SpoolPusher:
    """`put` stores; `run` sends in the background, with back-off while nobody answers."""

    def __init__(self, spool: Spool, address: str) -> None:
        self._spool = spool
        self._address = address
        self._arrived = asyncio.Event()
        self._turn = asyncio.Lock()  # the spool takes one caller at a time

    async def put(self, trajectory: Trajectory) -> None:
        """Returns when the trajectory is on the disk."""
        async with self._turn:
            await asyncio.to_thread(self._spool.put, trajectory)
        self._arrived.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        pause_s = _FIRST_PAUSE_S
        async with open_aio_channel(self._address) as channel:
            stub = feedback_log_pb2_grpc.FeedbackLogStub(channel)
            while True:
                self._arrived.clear()
                if not len(self._spool):
                    await self._arrived.wait()
                try:
                    await self._push(stub)
                    pause_s = _FIRST_PAUSE_S
                except AttuneError as error:
                    get_logger(__name__).warning("feedback unreachable", reason=str(error))
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _push(self, stub: "feedback_log_pb2_grpc.FeedbackLogAsyncStub") -> None:
        """One batch; where the service refuses it, one by one."""
        batch = await self._locked_oldest()
        try:
            await self._send(stub, batch)
        except _FINAL:
            for path, trajectory in batch.items():
                await self._push_one(stub, path, trajectory)

    async def _push_one(
        self, stub: "feedback_log_pb2_grpc.FeedbackLogAsyncStub", path: Path, trajectory: Trajectory
    ) -> None:
        try:
            await self._send(stub, {path: trajectory})
        except _FINAL as error:
            get_logger(__name__).error("trajectory refused", path=path.name, reason=str(error))
            async with self._turn:
                self._spool.reject(path)

    async def _send(
        self, stub: "feedback_log_pb2_grpc.FeedbackLogAsyncStub", batch: dict[Path, Trajectory]
    ) -> None:
        if not batch:
            return
        names = "\n".join(path.name for path in batch)
        request = pb.LogTrajectoriesRequest(
            request_id=hashlib.sha256(names.encode()).hexdigest(),
            trajectories=batch.values(),
        )
        try:
            # Waits on the channel rather than failing, so that a service that comes back gets
            # what was answered meanwhile at once, and a thumb finds its completion.
            await stub.LogTrajectories(request, timeout=_CALL_TIMEOUT_S, wait_for_ready=True)
        except grpc.RpcError as error:
            raise from_rpc(error) from error
        async with self._turn:
            await asyncio.to_thread(self._spool.acknowledge, list(batch))

    async def _locked_oldest(self) -> dict[Path, Trajectory]:
        async with self._turn:
            return await asyncio.to_thread(self._spool.oldest, _BATCH_FILES, _BATCH_BYTES)
