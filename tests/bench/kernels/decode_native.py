"""A decode step on our kernels. Legend: B sequences, D width, V text ids."""

import numpy as np
import torch
from torch import Tensor

from models.omni import OmniModel
from services.policy.engine.executor import FlatStep
from services.policy.engine.native.executor import NativeWeights
from services.policy.engine.native.packed import Crew, Precision
from services.policy.engine.pages import PAGE_TOKENS
from tests.bench.kernels.shapes import CACHED_TOKENS
from tests.bench.kernels.timing import Way


def native_step(model: OmniModel, ids_B: Tensor, dtype: str, threads: int) -> Way:
    """logits_BV after one more token each."""
    num_rows, pages_each = len(ids_B), CACHED_TOKENS // PAGE_TOKENS + 1
    weights = NativeWeights(model, Precision[dtype.upper()])
    executor = weights.executor(Crew(threads), weights.new_cache(num_rows * pages_each))
    ids = ids_B.numpy()
    positions_T = np.full(num_rows, CACHED_TOKENS, np.int32)
    rows_T = np.arange(num_rows, dtype=np.int32)
    tables_SN = np.arange(num_rows * pages_each, dtype=np.int32).reshape(num_rows, -1)

    def call() -> Tensor:
        with torch.inference_mode():
            hidden_TD = executor.embed(ids)
            step = FlatStep(hidden_TD, positions_T, rows_T, tables_SN)
            return executor.text_logits(executor.run(step))

    return call
