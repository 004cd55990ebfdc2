"""A folder of Hugging Face format: JSON files, and weights as safetensors, whole or in shards.

Weights in any other format are pickles and are never read.
"""

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from models.checkpoint_error import CheckpointError

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


class FamilyFolder:
    """Reads what is asked for, when it is asked for. Raises CheckpointError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def config(self) -> dict[str, Any]:
        return self.json_of(CONFIG)

    def json_of(self, name: str) -> dict[str, Any]:
        """An object of a file; empty where there is no such file."""
        path = self.path / name
        if not path.is_file():
            return {}
        try:
            content = json.loads(path.read_text())
        except (ValueError, OSError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error
        if not isinstance(content, dict):
            raise CheckpointError(f"{path} holds a {type(content).__name__}; expected an object")
        return content

    @cached_property
    def tensor_names(self) -> frozenset[str]:
        """Of all weights, as the folder names them."""
        return frozenset(name for shard in self._shards for name in _names_in(self.path / shard))

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """All weights, one at a time, in the type that they are stored in."""
        for shard in self._shards:
            path = self.path / shard
            try:
                with safe_open(path, framework="pt") as file:
                    for name in file.keys():  # noqa: SIM118  (it is not a mapping)
                        yield name, file.get_tensor(name)
            except (SafetensorError, OSError) as error:
                raise CheckpointError(f"{path} cannot be read: {error}") from error

    @cached_property
    def _shards(self) -> list[str]:
        if (self.path / WEIGHTS).is_file():
            return [WEIGHTS]
        shards = sorted({str(shard) for shard in self._weight_map().values()})
        for shard in shards:
            if Path(shard).name != shard or Path(shard).suffix != ".safetensors":
                raise CheckpointError(
                    f"{INDEX} names {shard!r}; expected safetensors files beside it"
                )
            if not (self.path / shard).is_file():
                raise CheckpointError(f"{self.path} lacks {shard}, which {INDEX} names")
        return shards

    def _weight_map(self) -> dict[str, Any]:
        weight_map = self.json_of(INDEX).get("weight_map")
        if isinstance(weight_map, dict) and weight_map:
            return weight_map
        pickles = sorted(path.name for glob in _PICKLES for path in self.path.glob(glob))
        if pickles:
            raise CheckpointError(
                f"{self.path} holds its weights as pickle ({', '.join(pickles[:3])}), which is"
                " never read; save them as safetensors"
            )
        raise CheckpointError(f"{self.path} lacks {WEIGHTS}, and {INDEX} with a weight_map")


def _names_in(path: Path) -> list[str]:
    try:
        with safe_open(path, framework="pt") as file:
            return list(file.keys())
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
