"""Counter-based random numbers: one stream per sample, so a seed ignores who shares the batch.

The n-th number of a stream is a hash of (seed, prompt, sample, n), by SplitMix64 (Steele, Lea and
Flood 2014). No state is kept, so a preempted sample goes on where it was.
Legend: R rows.
"""

import numpy as np
from numpy.typing import NDArray

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def stream_key(seed: int, prompt_index: int, sample_index: int) -> int:
    """The 64-bit name of a sample's stream."""
    key = _mix(seed & _MASK)
    for part in (prompt_index, sample_index):
        key = _mix((key + _GOLDEN * (part + 1)) & _MASK)
    return key


def uniforms(keys_R: NDArray[np.uint64], steps_R: NDArray[np.int64]) -> NDArray[np.float64]:
    """Number `steps_R` of each stream, in [0, 1) with 52 bits."""
    state_R = keys_R + (steps_R.astype(np.uint64) + np.uint64(1)) * np.uint64(_GOLDEN)
    state_R = (state_R ^ (state_R >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state_R = (state_R ^ (state_R >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    state_R ^= state_R >> np.uint64(31)
    # 52 bits, not 53: u × total must stay below total after rounding (sampler.py).
    numbers_R: NDArray[np.float64] = (state_R >> np.uint64(12)).astype(np.float64) * 2.0**-52
    return numbers_R


def _mix(state: int) -> int:
    state = (state + _GOLDEN) & _MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
    return state ^ (state >> 31)
