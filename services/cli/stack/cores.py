"""Divides the cores of this machine among the services, and turns busy waiting off.

Policy, reward model and trainer take turns within a step, so policy and trainer may each use all
cores; the others get one thread. Spinning threads of one would starve the next (DESIGN, Services).
"""

import os

_ALL_CORES = ("policy", "trainer")
_NO_SPINNING = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0", "GOMP_SPINCOUNT": "0"}
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def divide_cores(services: tuple[str, ...], num_cores: int) -> dict[str, int]:
    """Intra-op threads of each service."""
    return {name: num_cores if name in _ALL_CORES else 1 for name in services}


def thread_environment(num_threads: int) -> dict[str, str]:
    """Environment under which numerical libraries keep to their threads and sleep when idle."""
    return dict.fromkeys(_THREAD_VARIABLES, str(num_threads)) | _NO_SPINNING
