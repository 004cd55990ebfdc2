"""The files of a version as they arrive in chunks (PrepareWeights without a shared folder)."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from protos.v1 import policy_generator_pb2 as pb
from services.common.errors import DataLoss, InvalidArgument
from services.common.version_store import Manifest

_MAX_DISCARDED_BYTES = 256 << 20


async def receive(
    requests: AsyncIterator[pb.PrepareWeightsRequest], manifest: Manifest, folder: Path
) -> None:
    """Writes chunks into `folder`. Sizes are held to the manifest; hashes are checked later."""
    sizes = {file.name: file.size_bytes for file in manifest.files}
    received = dict.fromkeys(sizes, 0)
    for name in sizes:
        (folder / name).touch()
    async for request in requests:
        if request.WhichOneof("part") != "chunk":
            raise InvalidArgument("a chunk was expected after the header")
        chunk = request.chunk
        _check(chunk, sizes, received)
        await asyncio.to_thread(_append, folder / chunk.name, chunk.data)
        received[chunk.name] += len(chunk.data)
    for name, size in sizes.items():
        if received[name] != size:
            raise DataLoss(f"{name} came with {received[name]} of {size} bytes")


async def discard(requests: AsyncIterator[pb.PrepareWeightsRequest]) -> None:
    """Reads what is still being sent, within reason.

    A grpc.aio client (1.81) that is sending when its call ends sees INTERNAL now and then (1 in 100
    under load) in place of the status.
    """
    left = _MAX_DISCARDED_BYTES
    while left > 0 and (request := await anext(requests, None)) is not None:
        left -= request.ByteSize()


def _check(chunk: pb.FileChunk, sizes: dict[str, int], received: dict[str, int]) -> None:
    if chunk.name not in sizes:
        raise InvalidArgument(f"chunk of {chunk.name!r}, which the manifest does not name")
    if chunk.offset != received[chunk.name]:
        raise InvalidArgument(
            f"chunk of {chunk.name} at {chunk.offset}; {received[chunk.name]} was expected"
        )
    if chunk.offset + len(chunk.data) > sizes[chunk.name]:
        raise InvalidArgument(f"{chunk.name} is longer than the manifest's {sizes[chunk.name]}")


def _append(path: Path, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)
