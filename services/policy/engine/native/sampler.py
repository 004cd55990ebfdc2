"""Draws on the compiled kernel: what engine/sampler.py defines, each row by itself.

Legend: R rows, V ids of one modality.
"""

from ctypes import byref

import numpy as np
import torch

from services.policy.engine.native.library import DrawsStruct, address, library
from services.policy.engine.native.packed import Crew
from services.policy.engine.sampler import Draw, Draws


def draw(draws: Draws, crew: Crew) -> Draw:
    """One id per row."""
    num_rows, num_ids = draws.logits_RV.shape
    knobs, limited = draws.knobs, draws.limited
    ids_R, is_finite_R = np.empty(num_rows, np.int64), np.empty(num_rows, np.bool_)
    logprobs_R, kept_mass_R = np.empty(num_rows, np.float32), np.empty(num_rows, np.float32)
    is_kept_RV = np.empty((num_rows, num_ids), np.bool_) if len(limited) else None
    logprobs_RV = torch.empty(num_rows, num_ids) if draws.keep_logprobs else None
    logits_RV = draws.guided_logits_RV.contiguous()
    arguments = DrawsStruct(
        *(num_rows, num_ids, logits_RV.data_ptr()),
        None if draws.bias_BV is None else draws.bias_BV.data_ptr(),
        *(address(a) for a in (draws.bias_of_R, draws.is_allowed_CV, draws.constraint_of_R)),
        *(address(array) for array in (knobs.temperature_R, knobs.top_p_R, knobs.top_k_R)),
        address(draws.uniform_R),
        *(address(array) for array in (ids_R, logprobs_R, kept_mass_R, is_finite_R, is_kept_RV)),
        None if logprobs_RV is None else logprobs_RV.data_ptr(),
    )
    library().attune_draw(crew.handle, byref(arguments))
    supports = {}
    if is_kept_RV is not None:
        supports = {int(row): np.flatnonzero(is_kept_RV[row]) for row in limited}
    return Draw(ids_R, logprobs_R, kept_mass_R, is_finite_R, supports, logprobs_RV)
