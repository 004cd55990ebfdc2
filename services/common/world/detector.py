"""Finds the colored shapes on a picture, through the blur and noise that a VQ decoder leaves.

A pixel's color is that of the palette in whose direction it lies from the background grey, so that
pale and blurred edges keep their color. Connected pixels of a color are a blob, which is the
shape that fits its silhouette best.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from services.common.world.drawing import BACKGROUND, PALETTE
from services.common.world.scenes import COLORS, PICTURE_PX, SHAPES, Box, Color, Shape
from services.common.world.silhouettes import (
    MIN_STRENGTH,
    Silhouette,
    fit_shapes,
    silhouette_of,
    smoothed,
)

_MIN_PEAK_STRENGTH = 0.5  # a paler blob is a stain, which nobody would call a thing
_MIN_COSINE = 0.85
_MIN_FOREIGN_DISTANCE = 70.0  # from the background, in RGB levels, of a color not in the palette
_MIN_BLOB_PX = 12  # smaller ones are noise; the smallest shape of the world covers 60
_MIN_SIDE_PX, _MAX_SIDE_PX = 7, 22
_MAX_ASPECT = 1.45
_MIN_FIT = 0.75

_BACKGROUND_LABEL = -1
_FOREIGN_LABEL = len(COLORS)
_STRIDE = PICTURE_PX + 2  # pictures get a border, so that neighbors need no bounds check


@dataclass(frozen=True, slots=True)
class Detection:
    """A blob; its color is None when not of the palette, its shape None when none of the world."""

    color: Color | None
    shape: Shape | None
    box: Box


def detect(pixels: NDArray[np.uint8]) -> list[Detection]:
    """All blobs on a picture [32, 32, 3], from the top down."""
    labels, strengths = _segment(pixels)
    detections = []
    for label, blob in _blobs(labels):
        rows, columns = np.divmod(np.array(blob), _STRIDE)
        silhouette = silhouette_of(rows - 1, columns - 1, strengths[blob])
        if label == _FOREIGN_LABEL:
            detections.append(Detection(None, None, silhouette.box))
        elif silhouette.peak >= _MIN_PEAK_STRENGTH:
            detections.append(Detection(COLORS[label], _shape_of(silhouette), silhouette.box))
    return detections


def _segment(pixels: NDArray[np.uint8]) -> tuple[list[int], NDArray[np.float32]]:
    """Each pixel's label (an index of COLORS or one of the two others) and strength, flat, with a
    border of background."""
    directions, distances = _palette_directions()
    offsets = smoothed(pixels.astype(np.float32)) - np.array(BACKGROUND, np.float32)
    projections = offsets @ directions.T
    nearest = projections.argmax(axis=-1)
    along = projections.max(axis=-1)
    length = np.sqrt((offsets**2).sum(axis=-1))
    strengths = along / distances[nearest]
    is_foreign = (along < _MIN_COSINE * length) & (length >= _MIN_FOREIGN_DISTANCE)
    is_colored = (along >= _MIN_COSINE * length) & (strengths >= MIN_STRENGTH)
    labels = np.where(is_colored, nearest, _BACKGROUND_LABEL)
    labels = np.where(is_foreign, _FOREIGN_LABEL, labels)
    strengths = np.where(is_foreign, 1.0, strengths).astype(np.float32)
    flat_labels: list[int] = np.pad(labels, 1, constant_values=_BACKGROUND_LABEL).ravel().tolist()
    return flat_labels, np.pad(strengths, 1).ravel()


def _blobs(labels: list[int]) -> list[tuple[int, list[int]]]:
    """Connected groups of equally labeled pixels as (label, pixel indices), noise left out."""
    unvisited = labels.copy()
    blobs = []
    for start, label in enumerate(labels):
        if unvisited[start] == _BACKGROUND_LABEL:
            continue
        unvisited[start] = _BACKGROUND_LABEL
        blob = [start]
        for pixel in blob:  # grows while it is walked
            for neighbor in (pixel - _STRIDE, pixel - 1, pixel + 1, pixel + _STRIDE):
                if unvisited[neighbor] == label:
                    unvisited[neighbor] = _BACKGROUND_LABEL
                    blob.append(neighbor)
        if len(blob) >= _MIN_BLOB_PX:
            blobs.append((label, blob))
    return blobs


def _shape_of(silhouette: Silhouette) -> Shape | None:
    short, long = sorted(silhouette.shares.shape)
    if short < _MIN_SIDE_PX or long > _MAX_SIDE_PX or long > _MAX_ASPECT * short:
        return None
    fits = fit_shapes(silhouette)
    best = int(fits.argmax())
    return SHAPES[best] if fits[best] >= _MIN_FIT else None


@cache
def _palette_directions() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Unit vectors [6, 3] from the background to each color, and their lengths [6]."""
    offsets = np.array([PALETTE[color] for color in COLORS], np.float32) - np.array(BACKGROUND)
    distances = np.sqrt((offsets**2).sum(axis=1))
    return (offsets / distances[:, None]).astype(np.float32), distances.astype(np.float32)
