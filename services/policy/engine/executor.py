"""What the engine needs of whoever runs the model: a step over flat tokens, heads, draws.

Legend: T tokens of a step, S sequences, N pages of a sequence, W tokens whose state is wanted,
R rows, F features, D width, V text ids, K codes.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.media import MediaTensors
from services.policy.engine.native.packed import Crew
from services.policy.engine.sampler import Draw, Draws


@dataclass(frozen=True, slots=True)
class FlatStep:
    """Tokens of any sequences; keys and values go where the tables of pages say. Where `wanted_W`
    is None the states of all are wanted."""

    hidden_TD: Tensor
    positions_T: NDArray[np.int32]
    table_of_T: NDArray[np.int32]
    tables_SN: NDArray[np.int32]
    wanted_W: NDArray[np.int64] | None = None

    def wanted(self, hidden_TD: Tensor) -> Tensor:
        """hidden_WD."""
        if self.wanted_W is None:
            return hidden_TD
        return hidden_TD[torch.from_numpy(self.wanted_W).to(hidden_TD.device)]


class Executor(Protocol):
    """One version's weights, and the cache that its steps write to."""

    def embed(self, ids_T: NDArray[np.int64]) -> Tensor:
        """hidden_TD of text ids and codes; placeholders get what their id has."""

    def run(self, step: FlatStep) -> Tensor:
        """hidden_WD after the final norm."""

    def copy_page(self, source: int, target: int) -> None:
        """Keys and values of one page, of all layers, over another's."""

    def text_logits(self, hidden_RD: Tensor) -> Tensor:
        """logits_RV, float32."""

    def code_logits(self, hidden_RD: Tensor) -> Tensor:
        """logits_RK, float32."""

    def draw(self, draws: Draws) -> Draw:
        """One id per row."""


class Cache(Protocol):
    """Keys and values of all pages."""

    @property
    def num_bytes(self) -> int: ...


class Weights(Protocol):
    """A version where it runs; shared by all that runs on it."""

    @property
    def device(self) -> torch.device: ...

    @property
    def element_bytes(self) -> int:
        """Of a number in the cache."""

    @property
    def cache_kind(self) -> str:
        """Versions of one shape share a cache where this is equal."""

    def encode_media(self, media: MediaTensors) -> Tensor:
        """features_FD as prompts take them, on `device`."""

    def new_cache(self, num_pages: int) -> Cache:
        """Of this shape."""

    def executor(self, crew: Crew, cache: Cache) -> Executor:
        """`crew` is for what runs on CPU threads; `cache` was made by weights of this shape."""
