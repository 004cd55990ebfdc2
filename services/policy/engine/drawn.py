"""What a step drew, for rows of both kinds.

Legend: S rows that are sampled, V ids of one modality.
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from services.policy.engine.request import TopLogprobs
from services.policy.engine.sampler import Draw

Rows = NDArray[np.int64]


class Drawn:
    """Parallel to the sampled rows; ids are in the one id space of text and codes.

    A row whose next id is forced holds it, with log-probability 0.
    """

    def __init__(self, num_rows: int) -> None:
        self.ids_S = np.zeros(num_rows, np.int64)
        self.logprobs_S = np.zeros(num_rows, np.float32)
        self.kept_mass_S = np.ones(num_rows, np.float32)
        self.is_finite_S = np.ones(num_rows, np.bool_)
        self.supports: dict[int, NDArray[np.int64]] = {}
        self._before_truncation: list[tuple[Rows, Tensor, int]] = []

    def put(self, chosen: Rows, drawn: Draw, offset: int) -> None:
        """Takes over a draw of rows `chosen`, whose ids begin at `offset`."""
        self.ids_S[chosen] = drawn.ids_R + offset
        self.logprobs_S[chosen] = drawn.logprobs_R
        self.kept_mass_S[chosen] = drawn.kept_mass_R
        self.is_finite_S[chosen] = drawn.is_finite_R
        for row, ids in drawn.supports.items():
            self.supports[int(chosen[row])] = ids + offset
        if drawn.logprobs_RV is not None:
            self._before_truncation.append((chosen, drawn.logprobs_RV, offset))

    def force(self, chosen: Rows, token_id: int) -> None:
        """Has rows hold an id that nothing was drawn for."""
        self.ids_S[chosen] = token_id

    def top(self, row: int, count: int) -> TopLogprobs:
        """The likeliest ids of a row before truncation; none where the id was forced."""
        for chosen, logprobs_RV, offset in self._before_truncation:
            at = int(np.searchsorted(chosen, row))
            if at < len(chosen) and chosen[at] == row:
                best = logprobs_RV[at].topk(min(count, logprobs_RV.shape[1]))
                is_possible = best.values.isfinite()
                ids = (best.indices[is_possible] + offset).tolist()
                return TopLogprobs(tuple(ids), tuple(best.values[is_possible].tolist()))
        return TopLogprobs((), ())
