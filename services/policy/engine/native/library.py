"""Builds the kernels with the machine's C++ compiler, once, and binds them by ctypes.

`python -m services.policy.engine.native.library` builds ahead of time; with `--portable`, for all
levels of x86-64, into the package, for images that run on chips unknown yet and hold no compiler.
"""

import argparse
import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from ctypes import POINTER, Structure, addressof, c_char, c_float, c_int, c_size_t, c_void_p
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_SOURCES = Path(__file__).parent
# Contraction to fused multiply-adds is the same for all rows of a product, so it keeps invariance.
_FLAGS = (
    *("-std=c++20", "-O3", "-ffp-contract=fast", "-fno-math-errno"),
    *("-fno-trapping-math", "-Wall", "-Wextra", "-shared", "-fPIC", "-pthread"),
)
_BUILD_TIMEOUT_S = 300
_NATIVE = ("-march=native",)
_PORTABLE = _SOURCES / "portable"
# Best first: name, how the compiler is told, and what /proc/cpuinfo must list.
_V4 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
_LEVELS: tuple[tuple[str, tuple[str, ...], set[str]], ...] = (
    ("v4-bf16", ("-march=x86-64-v4", "-mavx512bf16"), _V4 | {"avx512_bf16"}),
    ("v4", ("-march=x86-64-v4",), _V4),
    ("v3", ("-march=x86-64-v3",), {"avx2", "fma", "bmi2", "f16c"}),
    ("v2", ("-march=x86-64-v2",), {"sse4_2", "popcnt"}),
)


class NativeBuildError(RuntimeError):
    """The kernels could not be built; says what to do."""


class ShapeStruct(Structure):
    """attune::Shape."""

    _fields_ = (
        *((name, c_int) for name in ("width", "num_layers", "num_heads", "num_kv_heads")),
        *((name, c_int) for name in ("head_size", "mlp_width")),
        ("norm_eps", c_float),
    )


class LayerStruct(Structure):
    """attune::Layer."""

    _fields_ = tuple(
        (name, c_void_p)
        for name in ("input_norm", "post_norm", "qkv_bias", "qkv", "output", "gate_up", "down")
    )


class StepStruct(Structure):
    """attune::Step."""

    _fields_ = (
        ("num_tokens", c_int),
        *((name, c_void_p) for name in ("positions", "table_of_token", "tables")),
        ("pages_per_table", c_int),
        ("cache", c_void_p),
        ("layer_stride", c_size_t),
        *((name, c_void_p) for name in ("cos", "sin")),
    )


class DrawsStruct(Structure):
    """Draws, of native.cpp."""

    _fields_ = (
        ("num_rows", c_int),
        ("num_ids", c_int),
        *(
            (name, c_void_p)
            for name in (
                *("logits", "bias", "bias_of", "is_allowed", "constraint_of"),
                *("temperature", "top_p", "top_k", "uniform"),
                *("ids", "logprobs", "kept_mass", "is_finite", "is_kept", "all_logprobs"),
            )
        ),
    )


_SIGNATURES = {
    "attune_crew_new": (c_void_p, (c_int,)),
    "attune_crew_free": (None, (c_void_p,)),
    "attune_crew_lend": (None, (c_void_p, c_int)),
    "attune_matrix_new": (c_void_p, (c_void_p, c_int, c_int, c_int)),
    "attune_matrix_free": (None, (c_void_p,)),
    "attune_linear": (None, (c_void_p, c_void_p, c_void_p, c_void_p, c_int, c_void_p)),
    "attune_normalize": (None, (c_void_p, c_void_p, c_int, c_int, c_float, c_void_p)),
    "attune_draw": (None, (c_void_p, POINTER(DrawsStruct))),
    "attune_decoder_new": (c_void_p, (POINTER(ShapeStruct),)),
    "attune_decoder_free": (None, (c_void_p,)),
    "attune_decoder_add": (None, (c_void_p, POINTER(LayerStruct))),
    "attune_decoder_run": (None, (c_void_p, c_void_p, POINTER(StepStruct), c_void_p)),
}


@cache
def library() -> ctypes.CDLL:
    """The kernels, built first if need be. Raises NativeBuildError."""
    bound = ctypes.CDLL(str(_portable() or build()))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(bound, name)
        function.restype, function.argtypes = result, arguments
    return bound


def address(array: NDArray[np.generic] | None) -> int | None:
    """Where a writable array begins; numpy's own way takes four times as long."""
    return None if array is None else addressof(c_char.from_buffer(array.data))


def build() -> Path:
    """The shared object for these sources, this compiler and this chip. Raises NativeBuildError."""
    compiler = _compiler()
    path = _cache_folder() / f"native-{_fingerprint(compiler)}.so"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, unfinished = tempfile.mkstemp(dir=path.parent, suffix=".so")
        os.close(handle)
        try:
            _compile(compiler, _NATIVE, Path(unfinished))
            os.replace(unfinished, path)  # whoever builds at the same time makes the same
        finally:
            Path(unfinished).unlink(missing_ok=True)
    return path


def build_portable() -> list[Path]:
    """One shared object for each level of x86-64. Raises NativeBuildError."""
    _PORTABLE.mkdir(exist_ok=True)
    paths = [_PORTABLE / f"native-{name}.so" for name, _, _ in _LEVELS]
    for path, (_, march, _) in zip(paths, _LEVELS, strict=True):
        _compile(_compiler(), march, path)
    return paths


def _portable() -> Path | None:
    """The best that was built ahead and that this chip can run."""
    if not _PORTABLE.is_dir():
        return None
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    flags = next((set(line.split()) for line in lines if line.startswith("flags")), set())
    for name, _, needed in _LEVELS:
        if needed <= flags and (path := _PORTABLE / f"native-{name}.so").exists():
            return path
    return None


def _compile(compiler: str, march: tuple[str, ...], path: Path) -> None:
    command = [compiler, *_FLAGS, *march, str(_SOURCES / "native.cpp"), "-o", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_TIMEOUT_S)
    if ended.returncode:
        raise NativeBuildError(
            f"{compiler} could not build the kernels; they need GCC 12 or Clang 15, or newer:\n"
            + ended.stderr[-2000:]
        )


def _compiler() -> str:
    for name in (os.environ.get("CXX"), "g++", "clang++"):
        if name and (found := shutil.which(name)):
            return found
    raise NativeBuildError(
        "there is no C++ compiler; install g++ (Debian: apt-get install g++), or name one in CXX"
    )


def _fingerprint(compiler: str) -> str:
    """Of all that the result depends on; what `-march=native` means is the compiler's to say."""
    digest = hashlib.sha256(" ".join(_FLAGS).encode())
    for source in sorted([*_SOURCES.glob("*.h"), *_SOURCES.glob("*.cpp")]):
        digest.update(source.read_bytes())
    ask = [compiler, *_NATIVE, "-dM", "-E", "-x", "c++", os.devnull]
    asked = subprocess.run(ask, capture_output=True, timeout=_BUILD_TIMEOUT_S)
    digest.update(asked.stdout)
    return digest.hexdigest()[:16]


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "attune"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--portable", action="store_true", help="for all levels of x86-64")
    for path in build_portable() if parser.parse_args().portable else [build()]:
        print(path)


if __name__ == "__main__":
    main()
