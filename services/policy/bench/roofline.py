"""What the machine could do at most: bytes read per second, and products per second at a batch."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

_READ_BYTES = 512 << 20  # far more than any cache holds
_ROWS, _WIDTH = 64, 2048
_REPEATS = 5


def measure_roofline(threads: int) -> dict[str, Any]:
    """GB/s read by all threads, GFLOP/s of 64 rows times a square matrix; the best of some."""
    torch.set_num_threads(threads)
    data = torch.ones(_READ_BYTES // 4)
    read_s = _best_s(data.sum)
    result = {"read_gb_per_s": _READ_BYTES / read_s / 1e9}
    for dtype in (torch.float32, torch.bfloat16):
        rows_MK = torch.ones(_ROWS, _WIDTH, dtype=dtype)
        weight_KN = torch.ones(_WIDTH, _WIDTH, dtype=dtype)
        product_s = _best_s(partial(torch.matmul, rows_MK, weight_KN))
        name = str(dtype).removeprefix("torch.")
        result[f"{name}_gflop_per_s"] = 2 * _ROWS * _WIDTH**2 / product_s / 1e9
    return result


def _best_s(work: Callable[[], object]) -> float:
    work()
    seconds = []
    for _ in range(_REPEATS):
        started_s = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started_s)
    return min(seconds)
