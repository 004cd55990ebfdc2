"""Whether a clip's file is whole, by the sizes that its container states; nothing is decoded.

A clip that was cut short mostly decodes without an error up to the cut, and would pass for whole.
"""

import struct

from models.preprocessing.media_error import MediaError

_EBML_HEADER, _EBML_SEGMENT = 0x1A45DFA3, 0x18538067


def check_is_whole(data: bytes, mime_type: str) -> None:
    """Raises MediaError for an MP4, WebM or GIF that says it is longer than `data`."""
    if mime_type == "image/gif":
        is_whole = data.rstrip(b"\0").endswith(b";")
    elif mime_type == "video/mp4":
        is_whole = _mp4_end(data) <= len(data)
    else:
        is_whole = _ebml_end(data) <= len(data)
    if not is_whole:
        raise MediaError(f"video is truncated: {len(data)} bytes are there and it says more follow")


def _mp4_end(data: bytes) -> int:
    """Where the last box ends (ISO/IEC 14496-12, 4.2)."""
    position = 0
    while position + 8 <= len(data):
        (size,) = struct.unpack_from(">I", data, position)
        if size == 1 and position + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, position + 8)
        if size == 0:
            return len(data)  # reaches to the end, wherever that is
        if size < 8:
            raise MediaError("video is damaged: an MP4 box smaller than its own header")
        position += size
    return position


def _ebml_end(data: bytes) -> int:
    """Where the segment ends (RFC 8794); the data's own end if it was written to a pipe."""
    position = 0
    for expected in (_EBML_HEADER, _EBML_SEGMENT):
        size, body = _ebml_size(data, position + 4)
        if int.from_bytes(data[position : position + 4], "big") != expected:
            raise MediaError("video is damaged: a WebM without a segment")
        if size is None:
            return len(data)
        position = body + size
    return position


def _ebml_size(data: bytes, position: int) -> tuple[int | None, int]:
    """A size (None: unknown) and where what follows it starts."""
    first = data[position] if position < len(data) else 0
    num_bytes = 9 - first.bit_length()
    field = data[position : position + num_bytes]
    if first == 0 or len(field) < num_bytes:
        raise MediaError("video is truncated: a WebM that ends within its header")
    mask = (1 << 7 * num_bytes) - 1
    size = int.from_bytes(field, "big") & mask
    return None if size == mask else size, position + num_bytes
