"""What an answer's form may ask: ids that are allowed next, by what was drawn so far.

Legend: V text ids.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class ConstraintState(Protocol):
    """Where one answer stands."""

    @property
    def error(self) -> str | None:
        """Why it cannot go on, as when the constraint grows too complex."""

    def allow(self, is_allowed_V: NDArray[np.bool_]) -> None:
        """Sets what may come next in an array of False; nothing where there is an error."""

    def advance(self, token_id: int) -> bool:
        """Takes note of a drawn id; whether nothing can follow it."""


class Constraint(Protocol):
    """A form that answers are held to."""

    def start(self) -> ConstraintState:
        """For one answer."""
