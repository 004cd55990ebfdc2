"""Folders of Hugging Face format, by the `model_type` of their config.json.

models/checkpoint.py comes here for folders that are not the project's own.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from models.checkpoint_error import CheckpointError
from models.families.description import Description
from models.families.folder import CONFIG, FamilyFolder
from models.families.janus import describe_janus, janus_name
from models.families.llama import describe_llama, describe_mistral, describe_qwen2, llama_name


@dataclass(frozen=True, slots=True)
class _Family:
    """`own_name` is how OmniModel names a weight; None for one that it does without."""

    describe: Callable[[FamilyFolder], Description]
    own_name: Callable[[str], str | None]


_FAMILIES = {
    "llama": _Family(describe_llama, llama_name),
    "mistral": _Family(describe_mistral, llama_name),
    "qwen2": _Family(describe_qwen2, llama_name),
    "janus": _Family(describe_janus, janus_name),
}


def is_family_folder(path: Path) -> bool:
    """Whether config.json is of Hugging Face format. Raises ValueError, OSError."""
    return "model_type" in json.loads((path / CONFIG).read_text())


def describe(path: Path) -> Description:
    """Configuration and tokens, without weights. Raises CheckpointError."""
    folder = FamilyFolder(path)
    try:
        return _family(folder).describe(folder)
    except ValidationError as error:
        raise CheckpointError(f"{path / CONFIG} cannot be run: {_named(error)}") from error


def read_family_tensors(path: Path, width: int) -> dict[str, Tensor]:
    """All weights under OmniModel's names, and a value head that begins at zero."""
    folder = FamilyFolder(path)
    own_name = _family(folder).own_name
    tensors = {"value_head.weight": torch.zeros(1, width), "value_head.bias": torch.zeros(1)}
    for name, tensor in folder.tensors():
        own = own_name(name)
        if own is not None:
            tensors[own] = tensor
    return tensors


def _family(folder: FamilyFolder) -> _Family:
    model_type = folder.config.get("model_type")
    if model_type not in _FAMILIES:
        raise CheckpointError(
            f"model_type is {model_type!r} in {folder.path / CONFIG}; allowed:"
            f" {', '.join(_FAMILIES)}"
        )
    return _FAMILIES[model_type]


def _named(error: ValidationError) -> str:
    """Each field with its value and what is allowed."""
    return "; ".join(
        f"{'.'.join(map(str, problem['loc']))} is {problem['input']!r}: {problem['msg']}"
        if problem["loc"]
        else problem["msg"]
        for problem in error.errors()[:4]
    )
