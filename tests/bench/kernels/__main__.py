"""Prints tables for docs/decisions.md; see the package."""

import argparse
import os
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from models.omni import OmniModel
from services.policy.bench.random_llama import SIZES
from tests.bench.kernels.decode_native import native_step
from tests.bench.kernels.decode_onnx import onnx_step
from tests.bench.kernels.decode_torch import torch_step
from tests.bench.kernels.products import product_ways
from tests.bench.kernels.shapes import BATCHES, DTYPES, TOLERANCE, layer_weights, model_of
from tests.bench.kernels.timing import Way, medians_us

_WAYS = ("ours", "torch", "compiled", "onnxruntime")
_PRODUCTS = ("qkv", "output", "gate_up", "down")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["steps", "products"])
    parser.add_argument("--size", choices=[*SIZES], default="5m")
    parser.add_argument("--dtype", choices=[*DTYPES], default="float32")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    model = model_of(asked.size)
    cases = (_steps if asked.what == "steps" else _products)(model, asked.dtype, asked.threads)
    print(f"µs, {asked.size}, {asked.dtype}, {asked.threads} threads | " + " | ".join(_WAYS))
    print("|".join(["---"] * (len(_WAYS) + 1)))
    for name, ways in cases:
        times_us = medians_us(ways, asked.rounds)
        print(" | ".join([name, *(_cell(times_us, way) for way in _WAYS)]), flush=True)


def _steps(model: OmniModel, dtype: str, threads: int) -> Iterator[tuple[str, dict[str, Way]]]:
    """Raises ValueError where a way computes something else than plain torch in float32."""
    for num_rows in BATCHES:
        ids_B = torch.randint(300, model.config.decoder.vocab_size, (num_rows,))
        ways = {
            "ours": native_step(model, ids_B, dtype, threads),
            "torch": torch_step(model, ids_B, dtype, is_compiled=False),
            "compiled": torch_step(model, ids_B, dtype, is_compiled=True),
        }
        if dtype == "float32":  # ONNX Runtime has no bfloat16 products on CPU
            ways["onnxruntime"] = onnx_step(model, ids_B, threads)
        expected_BV = torch_step(model, ids_B, "float32", is_compiled=False)()
        for name, way in ways.items():
            _check(name, way(), expected_BV, TOLERANCE[dtype])
        yield f"step of {num_rows}", ways


def _products(model: OmniModel, dtype: str, threads: int) -> Iterator[tuple[str, dict[str, Way]]]:
    layers = layer_weights(model)
    weights = {name: [getattr(layer, name) for layer in layers] for name in _PRODUCTS}
    for name, weights_NK in {**weights, "head": [model.text_head_VD]}.items():
        outputs, inputs = weights_NK[0].shape
        for num_rows in BATCHES:
            title = f"{num_rows} × {inputs} → {outputs}, {len(weights_NK)} {name}"
            yield title, product_ways(weights_NK, num_rows, dtype, threads)


def _check(name: str, logits_BV: object, expected_BV: object, tolerance: float) -> None:
    assert isinstance(logits_BV, Tensor)
    assert isinstance(expected_BV, Tensor)
    difference = (logits_BV - expected_BV).abs().max().item()
    if not difference <= tolerance:
        raise ValueError(f"{name} is {difference:.4f} from plain torch; {tolerance} is allowed")


def _cell(times_us: Mapping[str, float], way: str) -> str:
    return f"{times_us[way]:,.0f}" if way in times_us else "–"


if __name__ == "__main__":
    main()
