"""Encoded pictures to tiles and back, with limits that are checked before anything is decoded."""

import hashlib
import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from models.preprocessing.media_error import MediaError

FORMATS = ("PNG", "JPEG", "WEBP")


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """What one picture may cost. Pixels are read from the header, before decoding."""

    max_bytes: int = 8 * 2**20
    max_pixels: int = 16 * 2**20
    max_tiles: int = 4


def content_sha256(data: bytes) -> str:
    """The identity of a medium: its content, never its name."""
    return hashlib.sha256(data).hexdigest()


def tiles_from_picture(
    data: bytes, tile_size: int, limits: MediaLimits = MediaLimits()
) -> NDArray[np.uint8]:
    """uint8 [N, S, S, 3], row by row of the grid whose aspect is nearest to the picture's.

    A picture that is already of the grid's size is not resampled.
    """
    picture = decode_picture(data, limits)
    columns, rows = _grid(picture.width, picture.height, limits.max_tiles)
    size = (columns * tile_size, rows * tile_size)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    pixels = np.asarray(picture, dtype=np.uint8)
    grid = pixels.reshape(rows, tile_size, columns, tile_size, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(grid.reshape(rows * columns, tile_size, tile_size, 3))


@dataclass(frozen=True, slots=True)
class SquarePadding:
    """How a picture becomes one square: its longer side fits, the rest is filled (Janus)."""

    colour: tuple[int, int, int]
    min_side: int = 14  # pixels of the shorter side, however flat the picture


def padded_picture(
    data: bytes, side: int, padding: SquarePadding, limits: MediaLimits = MediaLimits()
) -> NDArray[np.uint8]:
    """uint8 [1, S, S, 3]: the whole picture in the middle of a square."""
    picture = decode_picture(data, limits)
    longest = max(picture.size)
    width, height = (
        max(round(pixels * side / longest), padding.min_side) for pixels in picture.size
    )
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    square = Image.new("RGB", (side, side), padding.colour)
    square.paste(picture, ((side - width) // 2, (side - height) // 2))
    return np.asarray(square, dtype=np.uint8)[None]


def decode_picture(data: bytes, limits: MediaLimits = MediaLimits()) -> Image.Image:
    """An upright RGB picture (the first frame of an animation), or MediaError."""
    if len(data) > limits.max_bytes:
        raise MediaError(f"picture has {len(data)} bytes; at most {limits.max_bytes} are allowed")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            _check_pixels(picture.width, picture.height, limits)
            return ImageOps.exif_transpose(picture).convert("RGB")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise MediaError(f"picture is over {limits.max_pixels} pixels: {error}") from error
    except UnidentifiedImageError as error:
        raise MediaError(f"not a picture; expected one of {', '.join(FORMATS)}") from error
    except MediaError:
        raise
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow's decoders raise
        raise MediaError(f"picture is truncated or damaged: {error}") from error


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """PNG of uint8 [height, width, 3]."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def _check_pixels(width: int, height: int, limits: MediaLimits) -> None:
    if width * height > limits.max_pixels:
        raise MediaError(
            f"picture is {width}×{height} = {width * height} pixels;"
            f" at most {limits.max_pixels} are allowed"
        )


def _grid(width: int, height: int, max_tiles: int) -> tuple[int, int]:
    """(columns, rows) nearest in log aspect; the fewest tiles among equals."""
    candidates = [
        (columns, rows)
        for columns in range(1, max_tiles + 1)
        for rows in range(1, max_tiles // columns + 1)
    ]
    aspect = math.log(width / height)
    return min(candidates, key=lambda g: (round(abs(aspect - math.log(g[0] / g[1])), 6), g))
