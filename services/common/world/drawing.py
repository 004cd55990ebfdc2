"""Draws scenes as pictures: anti-aliased shapes in six colors on grey.

The grey lies amid the colors, so that seen from it they point in well separated directions (the
closest two, red and yellow, at a cosine of 0.58); the detector builds on that.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from services.common.world.scenes import PICTURE_PX, Color, Scene, Shape, Thing

BACKGROUND = (138, 138, 138)
PALETTE: dict[Color, tuple[int, int, int]] = {
    "red": (225, 45, 45),
    "green": (45, 185, 65),
    "blue": (40, 80, 230),
    "yellow": (250, 220, 40),
    "purple": (200, 60, 215),
    "cyan": (50, 215, 225),
}

_SUPERSAMPLING = 8
_CROSS_ARM = 0.38  # half the width of a cross's arm, as a share of its half side


def draw_scene(scene: Scene) -> NDArray[np.uint8]:
    """The scene as pixels [32, 32, 3]."""
    pixels = np.empty((PICTURE_PX, PICTURE_PX, 3), np.uint8)
    pixels[:] = BACKGROUND
    for thing in scene.things:
        left, top, right, bottom = thing.box
        pixels[top:bottom, left:right] = _stamp(thing.color, thing.shape, right - left)
    return pixels


def stamp_of(thing: Thing) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The pixels [side, side, 3] of a thing's box and, as [side, side, 1], which are its own."""
    side = 2 * thing.radius + 1
    return _stamp(thing.color, thing.shape, side), _is_covered(thing.shape, side)


def shape_coverage(shape: Shape, height: int, width: int) -> NDArray[np.float64]:
    """The share of each pixel of a height×width box that the shape, filling the box, covers."""
    x, y = _steps(width)[None, :], _steps(height)[:, None]
    match shape:
        case "circle":
            inside = x**2 + y**2 <= 1
        case "square":
            inside = (np.abs(x) <= 1) & (np.abs(y) <= 1)
        case "triangle":
            inside = np.abs(x) <= (y + 1) / 2
        case "cross":
            inside = np.minimum(np.abs(x), np.abs(y)) <= _CROSS_ARM
    blocks = inside.reshape(height, _SUPERSAMPLING, width, _SUPERSAMPLING)
    coverage: NDArray[np.float64] = blocks.mean(axis=(1, 3))
    return coverage


def _steps(side: int) -> NDArray[np.float64]:
    """Sample points from -1 to 1 across a side of so many pixels."""
    num_samples = side * _SUPERSAMPLING
    return (np.arange(num_samples) + 0.5) / num_samples * 2 - 1


@cache
def _stamp(color: Color, shape: Shape, side: int) -> NDArray[np.uint8]:
    coverage = shape_coverage(shape, side, side)[..., None]
    blend = coverage * np.array(PALETTE[color]) + (1 - coverage) * np.array(BACKGROUND)
    stamp: NDArray[np.uint8] = np.rint(blend).astype(np.uint8)
    return stamp


@cache
def _is_covered(shape: Shape, side: int) -> NDArray[np.bool_]:
    return shape_coverage(shape, side, side)[..., None] > 0
