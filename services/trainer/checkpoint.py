"""Training checkpoints: tensors and a little JSON in a folder that appears whole or not at all.

The last two are kept. Everything random follows from the seed and the step, so the step is all
the state there is besides weights and moments.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from services.trainer.run_folder import sync_folder

_TENSORS, _STATE = "state.safetensors", "state.json"
_KEPT = 2


@dataclass(frozen=True, slots=True, eq=False)
class TrainingState:
    """`extra` is a stage's own, JSON-like."""

    step: int
    tensors: dict[str, Tensor]
    extra: dict[str, float]


def save_state(folder: Path, state: TrainingState) -> None:
    """On disk when it returns; removes all but the newest two."""
    target = folder / f"step-{state.step:08d}"
    scratch = folder / f".{target.name}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    save_file({n: t.detach().contiguous() for n, t in state.tensors.items()}, scratch / _TENSORS)
    (scratch / _STATE).write_text(json.dumps({"step": state.step, "extra": state.extra}))
    for path in (scratch / _TENSORS, scratch / _STATE, scratch):
        sync_folder(path)
    shutil.rmtree(target, ignore_errors=True)
    scratch.rename(target)
    sync_folder(folder)
    for old in _saved(folder)[:-_KEPT]:
        shutil.rmtree(old)


def load_newest_state(folder: Path) -> TrainingState | None:
    """The newest checkpoint, or None."""
    saved = _saved(folder)
    if not saved:
        return None
    state = json.loads((saved[-1] / _STATE).read_text())
    return TrainingState(state["step"], load_file(saved[-1] / _TENSORS), state["extra"])


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Puts a part's tensors under its name."""
    return {f"{prefix}:{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `prefixed`, for one part."""
    start = f"{prefix}:"
    return {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}


def weights_sha256(module: torch.nn.Module) -> str:
    """Of names, shapes and bits of all tensors: equal if and only if the weights are."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _saved(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if (path / _STATE).exists())
