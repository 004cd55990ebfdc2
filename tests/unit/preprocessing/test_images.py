import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from models.preprocessing.images import (
    MediaLimits,
    content_sha256,
    decode_picture,
    encode_png,
    tiles_from_picture,
)
from models.preprocessing.media_error import MediaError

RNG = np.random.default_rng(0)


def png_with_header(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that its data does not hold."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0" * 64))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def picture(width: int, height: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_picture_of_tile_size_is_taken_as_it_is() -> None:
    pixels = picture(32, 32)
    assert np.array_equal(tiles_from_picture(encode_png(pixels), 32)[0], pixels)


def test_a_wide_picture_is_cut_from_left_to_right() -> None:
    pixels = picture(128, 32)
    tiles = tiles_from_picture(encode_png(pixels), 32)
    assert tiles.shape == (4, 32, 32, 3)
    assert np.array_equal(tiles[1], pixels[:, 32:64])


def test_tiles_of_a_grid_come_row_by_row() -> None:
    pixels = picture(8, 24)
    tiles = tiles_from_picture(encode_png(pixels), 8)
    assert np.array_equal(tiles, pixels.reshape(3, 8, 8, 3))


@pytest.mark.parametrize(
    ("size", "count"),
    [((400, 100), 4), ((100, 400), 4), ((64, 64), 1), ((200, 100), 2), ((1000, 10), 4)],
)
def test_the_grid_follows_the_aspect(size: tuple[int, int], count: int) -> None:
    assert len(tiles_from_picture(encode_png(picture(*size)), 32)) == count


def test_at_most_the_allowed_tiles_are_cut() -> None:
    data = encode_png(picture(400, 100))
    assert len(tiles_from_picture(data, 32, MediaLimits(max_tiles=2))) == 2


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(MediaError, match="at most 10 are allowed"):
        decode_picture(encode_png(picture(4, 4)), MediaLimits(max_bytes=10))


def test_too_many_pixels_are_refused() -> None:
    with pytest.raises(MediaError, match="5×4 = 20 pixels"):
        decode_picture(encode_png(picture(5, 4)), MediaLimits(max_pixels=19))


@pytest.mark.parametrize("side", [5_000, 12_000, 60_000])
def test_a_bomb_is_refused_by_its_header(side: int) -> None:
    with pytest.raises(MediaError, match="pixels"):
        decode_picture(png_with_header(side, side))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_truncated_picture_is_refused(kind: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture(64, 64)).save(buffer, format=kind)
    with pytest.raises(MediaError):
        decode_picture(buffer.getvalue()[: len(buffer.getvalue()) // 2])


@pytest.mark.parametrize("data", [b"", b"not a picture", b"GIF89a" + b"\0" * 40])
def test_what_is_not_a_picture_is_refused(data: bytes) -> None:
    with pytest.raises(MediaError, match="expected one of PNG, JPEG, WEBP"):
        decode_picture(data)


def test_any_color_mode_becomes_rgb() -> None:
    buffer = io.BytesIO()
    Image.new("LA", (3, 2), (9, 255)).save(buffer, format="PNG")
    assert np.asarray(decode_picture(buffer.getvalue())).tolist() == [[[9, 9, 9]] * 3] * 2


def test_identity_is_the_content() -> None:
    expected = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert content_sha256(b"hello") == expected
