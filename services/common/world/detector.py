"""Finds the colored shapes on a picture, as robustly as a VQ decoder's blur and noise need.

A pixel's color is that of the palette in whose direction it lies from the background grey, so a
pale or blurred edge keeps its color. Connected pixels of a color are a blob, and a blob is the
shape whose own mask, stretched to the blob's box, overlaps it best.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from services.common.world.drawing import BACKGROUND, PALETTE, shape_coverage
from services.common.world.scenes import COLORS, PICTURE_PX, SHAPES, Box, Color, Shape

_MIN_STRENGTH = 0.5  # of the way from the background to the color
_MIN_COSINE = 0.85
_MIN_FOREIGN_DISTANCE = 70.0  # from the background, in RGB levels, of a color not in the palette
_MIN_BLOB_PX = 12  # smaller ones are noise; the smallest shape of the world covers 60
_MIN_SIDE_PX, _MAX_SIDE_PX = 7, 22
_MAX_ASPECT = 1.45
_MIN_FIT = 0.7

_BACKGROUND_LABEL = -1
_FOREIGN_LABEL = len(COLORS)


@dataclass(frozen=True, slots=True)
class Detection:
    """A blob that was found; color None: not of the palette; shape None: no shape of the world."""

    color: Color | None
    shape: Shape | None
    box: Box
    fit: float


def detect(pixels: NDArray[np.uint8]) -> list[Detection]:
    """All blobs on a picture [32, 32, 3], from the top down."""
    labels = _label_pixels(pixels)
    return [_recognize(label, blob) for label, blob in _blobs(labels)]


def _label_pixels(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """For each pixel the index of its color in COLORS, or one of the two other labels."""
    directions, distances = _palette_directions()
    offsets = pixels.astype(np.float32) - np.array(BACKGROUND, np.float32)
    projections = offsets @ directions.T
    nearest = projections.argmax(axis=-1)
    along = np.take_along_axis(projections, nearest[..., None], axis=-1)[..., 0]
    length = np.sqrt((offsets**2).sum(axis=-1))
    colored = (along >= _MIN_STRENGTH * distances[nearest]) & (along >= _MIN_COSINE * length)
    foreign = ~colored & (length >= _MIN_FOREIGN_DISTANCE) & (along < _MIN_COSINE * length)
    labels = np.where(colored, nearest, _BACKGROUND_LABEL)
    return np.where(foreign, _FOREIGN_LABEL, labels)


def _blobs(labels: NDArray[np.int64]) -> list[tuple[int, list[int]]]:
    """Connected groups of equally labeled pixels as (label, flat pixel indices), noise left out."""
    stride = PICTURE_PX + 2  # a border of background, so that neighbors need no bounds check
    padded = np.pad(labels, 1, constant_values=_BACKGROUND_LABEL).ravel()
    open_label: list[int] = padded.tolist()
    blobs = []
    for start in np.flatnonzero(padded != _BACKGROUND_LABEL).tolist():
        label = open_label[start]
        if label == _BACKGROUND_LABEL:
            continue
        open_label[start] = _BACKGROUND_LABEL
        blob = [start]
        for pixel in blob:
            for neighbor in (pixel - stride, pixel - 1, pixel + 1, pixel + stride):
                if open_label[neighbor] == label:
                    open_label[neighbor] = _BACKGROUND_LABEL
                    blob.append(neighbor)
        if len(blob) >= _MIN_BLOB_PX:
            blobs.append((label, blob))
    return blobs


def _recognize(label: int, blob: list[int]) -> Detection:
    rows, columns = np.divmod(np.array(blob), PICTURE_PX + 2)
    rows, columns = rows - 1, columns - 1
    left, top = int(columns.min()), int(rows.min())
    right, bottom = int(columns.max()) + 1, int(rows.max()) + 1
    box = (left, top, right, bottom)
    if label == _FOREIGN_LABEL:
        return Detection(None, None, box, 0.0)
    height, width = bottom - top, right - left
    short, long = sorted((height, width))
    if short < _MIN_SIDE_PX or long > _MAX_SIDE_PX or long > _MAX_ASPECT * short:
        return Detection(COLORS[label], None, box, 0.0)
    mask = np.zeros((height, width), np.bool_)
    mask[rows - top, columns - left] = True
    templates = _templates(height, width)
    fits = (templates & mask).sum(axis=(1, 2)) / (templates | mask).sum(axis=(1, 2))
    best = int(fits.argmax())
    fit = float(fits[best])
    return Detection(COLORS[label], SHAPES[best] if fit >= _MIN_FIT else None, box, fit)


@cache
def _templates(height: int, width: int) -> NDArray[np.bool_]:
    """The masks [4, height, width] of the shapes, in the order of SHAPES."""
    return np.stack([shape_coverage(shape, height, width) >= 0.5 for shape in SHAPES])


@cache
def _palette_directions() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Unit vectors [6, 3] from the background to each color, and their lengths [6]."""
    offsets = np.array([PALETTE[color] for color in COLORS], np.float32) - np.array(BACKGROUND)
    distances = np.sqrt((offsets**2).sum(axis=1))
    return (offsets / distances[:, None]).astype(np.float32), distances.astype(np.float32)
