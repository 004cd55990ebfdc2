"""PutMedia and GetMedia, over the wire."""

import hashlib

import grpc
import pytest

from protos.v1 import feedback_log_pb2 as pb
from protos.v1.media_pb2 import MODALITY_IMAGE, MODALITY_VIDEO
from tests.unit.feedback.records import png, serving

LARGE = bytes(range(256)) * 12_000  # 3 MB: several pieces each way


@pytest.fixture
async def served(tmp_path):
    async with serving(tmp_path, max_media_mib=4) as served:
        yield served


@pytest.fixture
def stub(served):
    return served.stub


def pieces(data: bytes, size: int = 500_000, **header):
    """The messages of an upload."""
    fields = {"modality": MODALITY_IMAGE, "mime_type": "text/html", "size_bytes": len(data)}
    yield pb.PutMediaRequest(header=pb.PutMediaHeader(**fields | header))
    for start in range(0, len(data), size):
        yield pb.PutMediaRequest(data=data[start : start + size])


async def fetch(stub, sha256: str) -> tuple[str, int, bytes]:
    """Type, size and bytes of a blob."""
    responses = [r async for r in stub.GetMedia(pb.GetMediaRequest(sha256=sha256))]
    data = b"".join(r.data for r in responses)
    return responses[0].mime_type, responses[0].size_bytes, data


@pytest.mark.parametrize("data", [png(), LARGE], ids=["small", "large"])
async def test_media_come_back_under_the_hash_that_the_server_computed(stub, data):
    stored = await stub.PutMedia(pieces(data))
    assert (stored.sha256, stored.existed) == (hashlib.sha256(data).hexdigest(), False)
    mime_type = "image/png" if data == png() else ""
    assert await fetch(stub, stored.sha256) == (mime_type, len(data), data)
    assert (await stub.PutMedia(pieces(data))).existed


BAD_UPLOADS = {
    "nothing": ([], "must be its header"),
    "no header": ([pb.PutMediaRequest(data=b"x")], "must be its header"),
    "no modality": (pieces(png(), modality=0), "header.modality is not set; use text, image"),
    "unknown modality": (pieces(png(), modality=77), "header.modality is 77"),
    "empty": (pieces(b""), "a media item of 0 bytes"),
    "announced too large": (pieces(b"x", size_bytes=5 << 20), "allowed are 1 to 4194304"),
    "more than announced": (pieces(b"xyz", size_bytes=2), "more data came than the 2 bytes"),
    "cut off": (pieces(b"xyz", size_bytes=4), "ended after 3 of the 4 bytes"),
    "two headers": (
        [next(pieces(b"x")), next(pieces(b"x"))],
        "every message of PutMedia must be data",
    ),
}


@pytest.mark.parametrize(("upload", "said"), BAD_UPLOADS.values(), ids=BAD_UPLOADS)
async def test_an_upload_that_is_not_what_it_says_leaves_nothing(served, upload, said):
    with pytest.raises(grpc.aio.AioRpcError, match=said) as failed:
        await served.stub.PutMedia(iter(list(upload)))
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not [p for p in (served.config.folder / "blobs").rglob("*") if p.is_file()]


@pytest.mark.parametrize(
    ("sha256", "code"),
    [
        ("0" * 64, grpc.StatusCode.NOT_FOUND),
        ("../../feedback.db", grpc.StatusCode.INVALID_ARGUMENT),
        ("A" * 64, grpc.StatusCode.INVALID_ARGUMENT),
        ("", grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_media_that_are_not_held_are_refused(stub, sha256, code):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await fetch(stub, sha256)
    assert failed.value.code() is code


async def test_damaged_media_are_not_passed_off_as_whole(served):
    stored = await served.stub.PutMedia(pieces(LARGE, modality=MODALITY_VIDEO))
    path = served.config.folder / "blobs" / stored.sha256[:2] / stored.sha256
    path.write_bytes(LARGE[:-1] + b"?")
    with pytest.raises(grpc.aio.AioRpcError, match="do not match their hash") as failed:
        await fetch(served.stub, stored.sha256)
    assert failed.value.code() is grpc.StatusCode.DATA_LOSS
