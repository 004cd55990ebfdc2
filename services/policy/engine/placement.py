"""Where versions run, and what their weights become there: the one place that chooses."""

import os
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

import torch

from models.config import DecoderConfig
from models.omni import OmniModel
from services.policy.engine.executor import Weights
from services.policy.engine.native.decoder import check_config
from services.policy.engine.native.executor import NativeWeights
from services.policy.engine.native.packed import Precision
from services.policy.engine.precision_gate import check_precision

Device = Literal["auto", "cpu", "cuda"]
CpuPrecision = Literal["float32", "bfloat16", "int8"]
CudaPrecision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class Placement:
    """`precision` is that of the decoder's weights, and on CUDA of the cache."""

    device: Literal["cpu", "cuda"] = "cpu"
    precision: Precision = Precision.FLOAT32


def resolve_device(wanted: Device) -> Literal["cpu", "cuda"]:
    """What "auto" means on this machine. ValueError for a device that it does not have."""
    missing = _missing_for_cuda()
    if wanted == "cuda" and missing is not None:
        raise ValueError(f"{missing}, or take cpu")
    return "cuda" if wanted != "cpu" and missing is None else "cpu"


def weights_of(model: OmniModel, placement: Placement) -> Weights:
    """A model's weights, ready to run where they are placed. ValueError where a precision does not
    suit them."""
    if placement.device == "cpu" and _fits_kernels(model.config.decoder):
        weights = NativeWeights(model, placement.precision)
        if placement.precision is not Precision.FLOAT32:
            check_precision(model, weights)
        return weights
    dtype = _dtype(placement.precision)
    if placement.device == "cpu":
        # Its attention imports torch's compiler, which the kernels have no use for.
        from services.policy.engine.torch_executor import torch_weights

        return torch_weights(model, torch.device("cpu"), dtype)
    from services.policy.engine.cuda.weights import cuda_weights  # imports Triton

    return cuda_weights(model, torch.device("cuda"), dtype)


def _dtype(precision: Precision) -> torch.dtype:
    match precision:
        case Precision.FLOAT32:
            return torch.float32
        case Precision.BFLOAT16:
            return torch.bfloat16
        case Precision.INT8:
            raise ValueError("int8 runs on the compiled CPU kernels alone; take bfloat16")


def _missing_for_cuda() -> str | None:
    """What the CUDA path lacks on this machine, and what to do."""
    if not torch.cuda.is_available():
        return "torch sees no CUDA device; install a driver and a CUDA build of torch"
    if find_spec("triton") is None:
        return "Triton is not installed; install attune[gpu]"
    if not any(map(shutil.which, (os.environ.get("CC", ""), "gcc", "clang"))):
        return "Triton finds no C compiler, with which it builds launchers; install gcc"
    return None


def _fits_kernels(config: DecoderConfig) -> bool:
    try:
        check_config(config)
    except ValueError:
        return False
    return True
