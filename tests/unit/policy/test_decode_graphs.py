"""Which steps are replayed, and at which size; no GPU is needed to say so."""

import numpy as np
import pytest
import torch

from services.policy.engine.cuda.graphs import graph_size, is_decode
from services.policy.engine.executor import FlatStep


@pytest.mark.parametrize(
    ("num_rows", "size"),
    [(1, 1), (2, 2), (3, 4), (5, 8), (33, 64), (64, 64), (65, 128), (256, 256), (288, 320)],
)
def test_sizes_double_and_then_grow_by_as_much_as_is_cheap(num_rows: int, size: int) -> None:
    assert graph_size(num_rows) == size


def step(tables: list[int], num_tables: int, wanted: list[int] | None = None) -> FlatStep:
    count = len(tables)
    return FlatStep(
        torch.zeros(count, 1),
        np.zeros(count, np.int32),
        np.array(tables, np.int32),
        np.zeros((num_tables, 2), np.int32),
        None if wanted is None else np.array(wanted),
    )


def test_only_steps_without_prompts_are_replayed() -> None:
    assert is_decode(step([0, 1, 2], 3))
    assert is_decode(step([0, 1, 1, 1], 2))  # with two guesses
    assert not is_decode(step([0, 1, 1], 2, [0, 2]))  # a chunk of a prompt
    assert not is_decode(step([0] * 9, 1))
