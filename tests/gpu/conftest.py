"""The same tests run on a GPU and, by tests/parity/test_triton_interpreter.py, without one."""

import os

import pytest
import torch

IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


@pytest.fixture(scope="session")
def device() -> torch.device:
    """Where kernels run: CUDA, or the CPU under Triton's interpreter."""
    pytest.importorskip("triton", reason="Triton is not installed (attune[gpu])")
    if IS_INTERPRETED:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device, and TRITON_INTERPRET is not 1")
    return torch.device("cuda")


@pytest.fixture(scope="session")
def cuda(device: torch.device) -> torch.device:
    """CUDA alone."""
    if device.type != "cuda":
        pytest.skip("no CUDA device")
    return device
