"""The kernels' tests of tests/gpu in Triton's interpreter, which runs them on any CPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_every_kernel_agrees_with_torch_in_tritons_interpreter():
    """In a process of its own: Triton decides when it is imported whether it interprets."""
    pytest.importorskip("triton", reason="Triton is not installed (attune[gpu])")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/gpu"],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert " passed" in ended.stdout
