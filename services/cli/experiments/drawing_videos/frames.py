"""A drawing as models are shown it: ink that fills the picture, in the style of the default world.

Thin black lines on white, small in their picture, are nothing that the base has seen: with them no
question was learned in 500 steps, with these three quarters in 200 (docs/decisions.md).
S side of a drawing, F frames.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from services.cli.experiments.drawing_videos.drawing import Drawing
from services.common.world.drawing import BACKGROUND, PALETTE

_INK = PALETTE["red"]
_COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 0, 255), (0, 255, 255), (0, 0, 0))
_MARGIN = 0.125  # on each side, of the ink's width or height
_MARGIN_PX = 2
_THICKER = ImageFilter.MaxFilter(3)

Mask = NDArray[np.bool_]


def frames(drawing: Drawing, num_frames: int, side: int) -> NDArray[np.uint8]:
    """uint8 [F, side, side, 3], evenly in time; the first has some ink, the last all."""
    times = np.linspace(0, 1, num_frames + 1)[1:] + 1e-9
    return np.stack(
        [_picture(drawing, side, [(drawing.arrival_SS <= time, _INK)]) for time in times]
    )


def last_frame_in_colour(drawing: Drawing, side: int) -> NDArray[np.uint8]:
    """uint8 [side, side, 3]: the first stroke red, the second green …, as in the data."""
    layers = []
    for index, stroke in enumerate(drawing.strokes):
        is_ink_SS = np.zeros((drawing.side, drawing.side), np.bool_)
        is_ink_SS[stroke.rows_N, stroke.columns_N] = True
        layers.append((is_ink_SS, _COLOURS[index % len(_COLOURS)]))
    return _picture(drawing, side, layers)


def _picture(
    drawing: Drawing, side: int, layers: Iterable[tuple[Mask, tuple[int, int, int]]]
) -> NDArray[np.uint8]:
    """Layers of ink over each other, cut out around the finished drawing."""
    top, left, size = _window(drawing.arrival_SS <= 1)
    pixels_SS3 = np.full((size, size, 3), BACKGROUND, np.uint8)
    for is_ink_SS, colour in layers:
        cut_SS = np.pad(is_ink_SS, size)[top + size :, left + size :][:size, :size]
        thick = Image.fromarray(cut_SS.astype(np.uint8)).filter(_THICKER)
        pixels_SS3[np.asarray(thick) > 0] = colour
    shrunk = Image.fromarray(pixels_SS3).resize(
        (side, side), Image.Resampling.BICUBIC, reducing_gap=3.0
    )
    return np.asarray(shrunk)


def _window(is_ink_SS: Mask) -> tuple[int, int, int]:
    """(top, left, size) of a square around the ink, which may reach over the edge."""
    places_N2 = np.argwhere(is_ink_SS)
    low_2, high_2 = places_N2.min(axis=0), places_N2.max(axis=0)
    size = round((high_2 - low_2).max() * (1 + 2 * _MARGIN)) + 2 * _MARGIN_PX
    top, left = (low_2 + high_2) // 2 - size // 2
    return int(top), int(left), size
