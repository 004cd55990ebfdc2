"""Draws on the compiled kernel: what engine/sampler.py defines, each row by itself.

Legend: R rows, V ids of one modality, B rows of biases.
"""

from ctypes import byref

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.policy.engine.native.library import DrawsStruct, library
from services.policy.engine.native.packed import Crew
from services.policy.engine.sampler import Draw, Knobs


def draw(
    logits_RV: Tensor,
    knobs: Knobs,
    uniform_R: NDArray[np.float64],
    crew: Crew,
    bias_BV: Tensor | None = None,
    bias_of_R: NDArray[np.int64] | None = None,
    keep_logprobs: bool = False,
) -> Draw:
    """One id per row. Biases are 0 or -inf; `keep_logprobs` keeps those of all ids too."""
    num_rows, num_ids = logits_RV.shape
    truncated = knobs.truncated
    ids_R, is_finite_R = np.empty(num_rows, np.int64), np.empty(num_rows, np.bool_)
    logprobs_R, kept_mass_R = np.empty(num_rows, np.float32), np.empty(num_rows, np.float32)
    is_kept_RV = np.empty((num_rows, num_ids), np.bool_) if len(truncated) else None
    logprobs_RV = torch.empty(num_rows, num_ids) if keep_logprobs else None
    arguments = DrawsStruct(
        num_rows,
        num_ids,
        logits_RV.contiguous().data_ptr(),
        None if bias_BV is None else bias_BV.data_ptr(),
        _address(bias_of_R),
        *(_address(array) for array in (knobs.temperature_R, knobs.top_p_R, knobs.top_k_R)),
        *(_address(array) for array in (uniform_R, ids_R, logprobs_R, kept_mass_R, is_finite_R)),
        _address(is_kept_RV),
        None if logprobs_RV is None else logprobs_RV.data_ptr(),
    )
    library().attune_draw(crew.handle, byref(arguments))
    supports = {}
    if is_kept_RV is not None:
        supports = {int(row): np.flatnonzero(is_kept_RV[row]) for row in truncated}
    return Draw(ids_R, logprobs_R, kept_mass_R, is_finite_R, supports, logprobs_RV)


def _address(array: NDArray[np.generic] | None) -> int | None:
    return None if array is None else array.ctypes.data
