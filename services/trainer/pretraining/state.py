"""What a run needs to continue exactly where it was: tensors and a few numbers. No pickle."""

import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

STATE = "state.safetensors"


class Evaluation(BaseModel):
    """One point of the validation curve."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int
    minutes: float
    metrics: dict[str, float]


class Progress(BaseModel):
    """How far a run is. Batches follow from the step, so no random state is kept."""

    model_config = ConfigDict(extra="forbid")

    recipe_digest: str
    picture_code_steps: int = 0
    picture_codes_strict: float | None = None
    model_steps: int = 0
    decay_from: int | None = None
    elapsed_s: float = 0.0
    curve: list[Evaluation] = []


def save_state(
    folder: Path,
    progress: Progress,
    modules: dict[str, nn.Module],
    optimizers: Sequence[Optimizer],
) -> None:
    """Replaces the state in one rename."""
    tensors = {
        f"{name}/{key}": tensor.detach().clone()
        for name, module in modules.items()
        for key, tensor in module.state_dict().items()
    }
    for number, optimizer in enumerate(optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            for key, value in state.items():
                tensors[f"optimizer{number}/{index}/{key}"] = value.clone()
    partial = folder / f"{STATE}.partial"
    save_file(tensors, partial, metadata={"progress": progress.model_dump_json()})
    os.replace(partial, folder / STATE)


def read_progress(folder: Path) -> Progress | None:
    """None when there is nothing to continue."""
    if not (folder / STATE).is_file():
        return None
    with safe_open(folder / STATE, framework="pt") as file:
        return Progress.model_validate_json(file.metadata()["progress"])


def load_state(
    folder: Path, modules: dict[str, nn.Module], optimizers: Sequence[Optimizer]
) -> None:
    """Restores modules and optimisers, as they were given to `save_state`."""
    tensors = load_file(folder / STATE)
    for name, module in modules.items():
        module.load_state_dict(_below(tensors, f"{name}/"))
    for number, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in _below(tensors, f"optimizer{number}/").items():
            index, _, field = key.partition("/")
            state.setdefault(int(index), {})[field] = tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}
