"""A drawing as models are shown it: ink that fills the picture, in the style of the default world.

Thin black lines on white, small in their picture, are nothing that the base has seen: with them no
question was learned in 500 steps, with these three quarters in 200 (docs/decisions.md).
S side of a drawing, C side of what is cut out of it, F frames.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from services.cli.experiments.drawing_videos.drawing import Drawing
from services.common.world.drawing import BACKGROUND, PALETTE

_INK = PALETTE["red"]
_COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 0, 255), (0, 255, 255), (0, 0, 0))
_MARGIN = 0.125  # on each side, of the ink's width or height
_MARGIN_PX = 2
_THICKER = ImageFilter.MinFilter(3)
_LEVELS = 16  # between ground and ink
_NO_INK = 255

Bytes = NDArray[np.uint8]


def frames(drawing: Drawing, num_frames: int, side: int) -> Bytes:
    """uint8 [F, side, side, 3], evenly in time; the first has some ink, the last all."""
    times_F = np.linspace(0, 1, num_frames + 1)[1:] + 1e-9
    first_SS = np.searchsorted(times_F, drawing.arrival_SS).astype(np.uint8)
    first_CC = _thick(_cut(first_SS, drawing, num_frames))
    shares = [_shrunk(first_CC <= frame, side) for frame in range(num_frames)]
    levels_FSS = np.rint(np.stack(shares) / 255 * _LEVELS).astype(np.int64)
    ramp_L3 = np.linspace(BACKGROUND, _INK, _LEVELS + 1).astype(np.uint8)
    return ramp_L3[levels_FSS]


def last_frame_in_colour(drawing: Drawing, side: int) -> Bytes:
    """uint8 [side, side, 3]: the first stroke red, the second green …, as in the data."""
    ground = Image.new("RGB", (side, side), BACKGROUND)
    for index, stroke in enumerate(drawing.strokes):
        bare_SS = np.full((drawing.side, drawing.side), _NO_INK, np.uint8)
        bare_SS[stroke.rows_N, stroke.columns_N] = 0
        ink_CC = _thick(_cut(bare_SS, drawing, _NO_INK)) == 0
        is_ink_SS = _shrunk(ink_CC, side) > 127
        ground.paste(_COLOURS[index % len(_COLOURS)], mask=Image.fromarray(is_ink_SS))
    return np.asarray(ground)


def _cut(values_SS: Bytes, drawing: Drawing, fill: int) -> Bytes:
    """A square around the finished drawing, which may reach over the edge."""
    places_N2 = np.argwhere(drawing.arrival_SS <= 1)
    low_2, high_2 = places_N2.min(axis=0), places_N2.max(axis=0)
    size = round((high_2 - low_2).max() * (1 + 2 * _MARGIN)) + 2 * _MARGIN_PX
    top, left = (low_2 + high_2) // 2 - size // 2 + size
    padded = np.pad(values_SS, size, constant_values=fill)
    return padded[top : top + size, left : left + size]


def _thick(first_CC: Bytes) -> Bytes:
    """Ink reaches one pixel further; the lower value is the earlier ink."""
    return np.asarray(Image.fromarray(first_CC).filter(_THICKER))


def _shrunk(is_ink_CC: NDArray[np.bool_], side: int) -> Bytes:
    """0 where there is none to 255 where there is nothing else."""
    mask = Image.fromarray(np.where(is_ink_CC, np.uint8(255), np.uint8(0)))
    resized = mask.resize((side, side), Image.Resampling.BICUBIC, reducing_gap=3.0)
    return np.asarray(resized)
