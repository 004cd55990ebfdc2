"""How many threads a step runs on; follows from its shape alone, so that its bits repeat.

Small steps take one: a second thread gained 10 % at 8 rows on an idle machine, and on a busy one,
where each operation waits for the slower of two, took two thirds of the speed away.
"""

import torch

_MIN_SHARED_POSITIONS = 32


def set_threads(num_positions: int, num_threads: int) -> None:
    """Readies the calling thread for a forward pass over that many tokens."""
    wanted = num_threads if num_positions >= _MIN_SHARED_POSITIONS else 1
    if torch.get_num_threads() != wanted:
        torch.set_num_threads(wanted)
