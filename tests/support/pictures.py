"""Small pictures, whole and hostile."""

import base64
import struct
import zlib

import numpy as np

from models.preprocessing.images import encode_png


def png(seed: int = 0, side: int = 32) -> bytes:
    """Random pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return encode_png(pixels)


def png_bomb(side: int = 60_000) -> bytes:
    """A PNG of a few bytes whose header claims side × side pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(bytes(1)))


def data_url(data: bytes, mime_type: str = "image/png") -> str:
    """As a request carries it."""
    return f"data:{mime_type};base64,{base64.b64encode(data).decode()}"


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum
