"""What a blob of color looks like, and how well each shape of the world fits it.

Silhouettes keep how strong each pixel is, since after a blur a cross differs from a circle in
little else. They are stretched to one grid and compared by soft intersection over union with
those of drawn shapes at several sides, smoothed as the detector smooths and more.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from services.common.world.drawing import shape_coverage
from services.common.world.scenes import SHAPES, Box, Shape

# Strength is how far a pixel is from the background (0) to its full color (1).
MIN_STRENGTH = 0.35

_GRID_PX = 12
_SIDES_PX = (11, 13, 15, 19)
_NUM_SMOOTHINGS = (1, 2, 4)
_PEAK_QUANTILE = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class Silhouette:
    """The strengths [height, width] of a blob in its box, as shares of its `peak`; 0 beside it."""

    shares: NDArray[np.float32]
    box: Box
    peak: float


def silhouette_of(
    rows: NDArray[np.intp], columns: NDArray[np.intp], strengths: NDArray[np.float32]
) -> Silhouette:
    """The silhouette of pixels of given strengths; its box is around those of half the peak."""
    peak = float(np.sort(strengths)[int(len(strengths) * _PEAK_QUANTILE)])
    core = strengths >= peak / 2
    top, left = int(rows[core].min()), int(columns[core].min())
    bottom, right = int(rows[core].max()) + 1, int(columns[core].max()) + 1
    within = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
    shares = np.zeros((bottom - top, right - left), np.float32)
    shares[rows[within] - top, columns[within] - left] = np.minimum(strengths[within] / peak, 1)
    return Silhouette(shares, (left, top, right, bottom), peak)


def fit_shapes(silhouette: Silhouette) -> NDArray[np.float32]:
    """The soft IoU [4], 0 to 1, with each shape in the order of SHAPES."""
    grid = _stretched(silhouette.shares)
    templates = _templates()
    overlap = np.minimum(templates, grid).sum(axis=-1)
    union = templates.sum(axis=-1) + grid.sum() - overlap
    best: NDArray[np.float32] = (overlap / union).max(axis=-1)
    return best


def smoothed(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each pixel of [height, width, channels] averaged with its neighbors by (1, 2, 1) each way."""
    padded = np.pad(values, ((1, 1), (1, 1), (0, 0)), mode="edge")
    across = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    averages: NDArray[np.float32] = (across[:-2] + 2 * across[1:-1] + across[2:]) / 16
    return averages


def _stretched(shares: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = shares.shape
    steps = np.arange(_GRID_PX) + 0.5
    rows = (steps * (height / _GRID_PX)).astype(np.intp)
    columns = (steps * (width / _GRID_PX)).astype(np.intp)
    grid: NDArray[np.float32] = shares[rows[:, None], columns].ravel()
    return grid


@cache
def _templates() -> NDArray[np.float32]:
    """Stretched silhouettes [4 shapes, 12 wears, 144]."""
    wears = [(side, count) for side in _SIDES_PX for count in _NUM_SMOOTHINGS]
    return np.stack([np.stack([_worn(shape, *wear) for wear in wears]) for shape in SHAPES])


def _worn(shape: Shape, side: int, num_smoothings: int) -> NDArray[np.float32]:
    strengths = np.pad(shape_coverage(shape, side, side), num_smoothings).astype(np.float32)
    for _ in range(num_smoothings):
        strengths = smoothed(strengths[..., None])[..., 0]
    rows, columns = np.nonzero(strengths >= MIN_STRENGTH)
    return _stretched(silhouette_of(rows, columns, strengths[rows, columns]).shares)
