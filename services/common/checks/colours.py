"""How far a picture's colours agree with those wanted, cell by cell of a 4×4 grid.

Forgives every detail finer than a cell and knows nothing of what is shown, so a figure of it says
little without its floors: another picture, a mean picture. Where most of a picture is ground an
empty one agrees best of all that know nothing, and RL finds it: with a `ground` in the reference
the score is what a drawing has over an empty picture (a skill score, Murphy 1988). N cells.
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
    """Mean agreement over the cells of `reference["colours"]`: 16 × [r, g, b] of 0 to 255, by rows;
    with a `reference["ground"]`, [r, g, b], the `skill`.

    `strict` where each cell agrees by 0.8 at least.
    """
    wanted_N3, ground_3 = _wanted(reference), _ground(reference)
    pixels = pixels_of(answer)
    if pixels is None:
        return CheckResult(0.0, {"strict": 0.0})
    given_N3 = cell_colours(pixels)
    agreement_N = cell_agreement(wanted_N3, given_N3)
    score = agreement_N.mean() if ground_3 is None else skill(wanted_N3, given_N3, ground_3)
    return CheckResult(float(score), {"strict": float((agreement_N >= _ALIKE).all())})


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


def skill(
    wanted_N3: NDArray[np.float64], given_N3: NDArray[np.float64], ground_3: NDArray[np.float64]
) -> float:
    """1 for equal colours, 0 for an empty picture and for all that are further away than it is."""
    error, empty = np.abs(wanted_N3 - given_N3).mean(), np.abs(wanted_N3 - ground_3).mean()
    return float(np.clip(1 - error / empty, 0.0, 1.0)) if empty else float(error == 0)


def _ground(reference: Mapping[str, Any]) -> NDArray[np.float64] | None:
    if "ground" not in reference:
        return None
    try:
        ground_3 = np.asarray(reference["ground"], np.float64)
    except (TypeError, ValueError):
        ground_3 = np.zeros(0)
    if ground_3.shape != (3,):
        raise InvalidReference(f'"ground" is {reference["ground"]!r}; expected [r, g, b]')
    return ground_3


def _wanted(reference: Mapping[str, Any]) -> NDArray[np.float64]:
    try:
        colours_N3 = np.asarray(reference["colours"], np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidReference('the reference has no "colours", 16 × [r, g, b]') from error
    if colours_N3.shape != (GRID * GRID, 3):
        raise InvalidReference(f'"colours" has the shape {colours_N3.shape}; expected (16, 3)')
    return colours_N3
