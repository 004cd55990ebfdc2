"""What most of some measurements do not exceed."""

from collections.abc import Sequence

import numpy as np


def quantile(values: Sequence[float], share: float) -> float:
    """One of the values, which so large a share of them do not exceed; NaN where there are none."""
    return float(np.quantile(values, share, method="inverted_cdf")) if values else float("nan")
