"""Length-prefixed records in a file: a byte of kind, four of length, the payload.

Event logs and replay segments are made of them. A record that was cut off at the end of a file
(its writer died) is not yielded.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO

_HEADER = struct.Struct("<cI")


def frame(kind: bytes, payload: bytes) -> bytes:
    """One record as bytes; `kind` is one byte."""
    return _HEADER.pack(kind, len(payload)) + payload


def read_frames(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """(kind, payload) of each whole record from the file's position on.

    Afterwards the position is that of the end of the last whole record.
    """
    while True:
        start = file.tell()
        header = file.read(_HEADER.size)
        if len(header) == _HEADER.size:
            kind, length = _HEADER.unpack(header)
            payload = file.read(length)
            if len(payload) == length:
                yield kind, payload
                continue
        file.seek(start)
        return
