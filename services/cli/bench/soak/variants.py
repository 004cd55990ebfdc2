"""Weights that differ a little from a base: enough to be other versions, and as good."""

import shutil
from pathlib import Path

from safetensors.numpy import load_file, save_file

_WEIGHTS = "model.safetensors"
_CHANGED = "language_model.norm.weight"
_STEP = 1e-3


def make_variants(base: Path, folder: Path, count: int) -> list[Path]:
    """The norm before the heads is a thousandth larger in each than in the one before."""
    made = []
    for number in range(1, count + 1):
        variant = folder / f"variant-{number}"
        shutil.copytree(base, variant)
        tensors = load_file(variant / _WEIGHTS)
        tensors[_CHANGED] = tensors[_CHANGED] * (1 + number * _STEP)
        save_file(tensors, variant / _WEIGHTS, metadata={"format": "pt"})
        made.append(variant)
    return made
