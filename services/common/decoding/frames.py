"""What the pool and its workers say to each other: a JSON header and raw bytes, both with lengths.

Imported by the worker: no grpc, no torch.
"""

import math
import socket
import struct
import time
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from models.preprocessing.conversation import Audio, Medium, Picture, Video
from models.preprocessing.decoding import Decoded, DecodedAudio, DecodedPicture, MediaSettings
from models.preprocessing.video import VideoFrames

_LENGTHS = struct.Struct(">II")
_MAX_HEADER_BYTES = 1 << 16
_MEDIA: dict[str, type[Medium]] = {"picture": Picture, "audio": Audio, "video": Video}
_CHANNELS = 3
_SHORTEST_S = 0.001  # 0 would mean not to wait at all


class Request(BaseModel):
    """Asks for the medium in the bytes that follow."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    modality: Literal["picture", "audio", "video"]
    settings: MediaSettings

    def medium(self, data: bytes) -> Medium:
        return _MEDIA[self.modality](data)


class Reply(BaseModel):
    """`count` tiles, samples or frames in the bytes that follow, or why there are none.

    Sizes and types follow from the request, so that there is nothing else to trust. A reply to
    nothing, with a count of 0, says that the worker is ready. `trace` is set for a bug of ours.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    count: int = 0
    error: str = ""
    trace: str = ""


def modality_of(medium: Medium) -> Literal["picture", "audio", "video"]:
    """The modality's name on this wire and in metrics."""
    match medium:
        case Picture():
            return "picture"
        case Audio():
            return "audio"
        case Video():
            return "video"


def reply_to(decoded: Decoded) -> tuple[Reply, bytes]:
    """What a worker sends for what it decoded."""
    match decoded:
        case DecodedPicture(tiles):
            return Reply(count=len(tiles)), tiles.tobytes()
        case DecodedAudio(samples):
            return Reply(count=len(samples)), samples.tobytes()
        case VideoFrames(frames, times_s):
            return Reply(count=len(frames)), frames.tobytes() + times_s.tobytes()


def decoded_from(reply: Reply, body: bytes, request: Request) -> Decoded:
    """The inverse of `reply_to`. Raises ValueError for a reply that cannot be one to `request`."""
    settings, count = request.settings, reply.count
    if not 1 <= count <= _max_count(request) or len(body) != count * _bytes_each(request):
        raise ValueError(f"a reply of {count} parts in {len(body)} bytes")
    shape = (count, settings.tile_size, settings.tile_size, _CHANNELS)
    match request.modality:
        case "picture":
            return DecodedPicture(np.frombuffer(body, np.uint8).reshape(shape))
        case "audio":
            return DecodedAudio(np.frombuffer(body, np.float32))
        case "video":
            num_bytes = math.prod(shape)
            frames = np.frombuffer(body, np.uint8, num_bytes).reshape(shape)
            return VideoFrames(frames, np.frombuffer(body, np.float32, offset=num_bytes))


def max_reply_bytes(request: Request) -> int:
    """What the largest reply to this request takes."""
    return _max_count(request) * _bytes_each(request)


def send(channel: socket.socket, header: BaseModel, body: bytes, end_s: float | None) -> None:
    """Until `end_s` of the monotonic clock. Raises TimeoutError, OSError if the peer is gone."""
    head = header.model_dump_json().encode()
    for part in (_LENGTHS.pack(len(head), len(body)) + head, body):
        _set_end(channel, end_s)
        channel.sendall(part)


def receive(
    channel: socket.socket, max_body_bytes: int, end_s: float | None
) -> tuple[bytes, bytes]:
    """Header and body. Raises TimeoutError, EOFError, ValueError for lengths over the bounds."""
    head_bytes, body_bytes = _LENGTHS.unpack(_receive_exactly(channel, _LENGTHS.size, end_s))
    if head_bytes > _MAX_HEADER_BYTES or body_bytes > max_body_bytes:
        raise ValueError(f"a frame of {head_bytes} and {body_bytes} bytes")
    head = _receive_exactly(channel, head_bytes, end_s)
    return head, _receive_exactly(channel, body_bytes, end_s)


def _receive_exactly(channel: socket.socket, num_bytes: int, end_s: float | None) -> bytes:
    data = bytearray(num_bytes)
    view = memoryview(data)
    while view:
        _set_end(channel, end_s)
        received = channel.recv_into(view)
        if received == 0:
            raise EOFError("the other end is closed")
        view = view[received:]
    return bytes(data)


def _set_end(channel: socket.socket, end_s: float | None) -> None:
    channel.settimeout(None if end_s is None else max(end_s - time.monotonic(), _SHORTEST_S))


def _max_count(request: Request) -> int:
    settings = request.settings
    match request.modality:
        case "picture":
            return settings.picture.max_tiles
        case "audio":
            return math.ceil(settings.audio.max_seconds * settings.sample_rate)
        case "video":
            return settings.max_frames


def _bytes_each(request: Request) -> int:
    image_bytes = request.settings.tile_size**2 * _CHANNELS
    return {"picture": image_bytes, "audio": 4, "video": image_bytes + 4}[request.modality]
