"""How far a picture's colours agree with those wanted, cell by cell of a 4×4 grid.

Forgives every detail finer than a cell and knows nothing of what is shown, so a figure of it says
little without its floors: another picture, a mean picture. N cells.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.preprocessing.conversation import Turn
from services.common.world.answers import CheckResult, InvalidReference, pixels_of

GRID = 4
_FAR = 128.0  # mean difference of the channels from which on a cell agrees in nothing
_ALIKE = 0.8


def check(reference: Mapping[str, Any], answer: Turn) -> CheckResult:
    """Mean agreement over the cells of `reference["colours"]`: 16 × [r, g, b] of 0 to 255, by rows.

    `strict` where each cell agrees by 0.8 at least.
    """
    wanted_N3 = _wanted(reference)
    pixels = pixels_of(answer)
    if pixels is None:
        return CheckResult(0.0, {"strict": 0.0})
    agreement_N = cell_agreement(wanted_N3, cell_colours(pixels))
    return CheckResult(float(agreement_N.mean()), {"strict": float((agreement_N >= _ALIKE).all())})


def cell_colours(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """float64 [16, 3]: the mean colours of the cells of a square picture [S, S, 3]."""
    side = len(pixels) // GRID
    cells = pixels.astype(np.float64).reshape(GRID, side, GRID, side, 3)
    means: NDArray[np.float64] = cells.mean(axis=(1, 3)).reshape(GRID * GRID, 3)
    return means


def cell_agreement(
    wanted_N3: NDArray[np.float64], given_N3: NDArray[np.float64]
) -> NDArray[np.float64]:
    """1 for equal colours, falling to 0 at a mean difference of 128 per channel."""
    agreement_N: NDArray[np.float64] = 1 - np.abs(wanted_N3 - given_N3).mean(axis=1) / _FAR
    return np.clip(agreement_N, 0.0, 1.0)


def _wanted(reference: Mapping[str, Any]) -> NDArray[np.float64]:
    try:
        colours_N3 = np.asarray(reference["colours"], np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidReference('the reference has no "colours", 16 × [r, g, b]') from error
    if colours_N3.shape != (GRID * GRID, 3):
        raise InvalidReference(f'"colours" has the shape {colours_N3.shape}; expected (16, 3)')
    return colours_N3
