"""Runs a version by its own definition, models/decoder.py, told to attend over pages.

Any device, precision and size; the reference for the compiled kernels, and on CPU in place of them
for sizes that they do not take. A row's last bits may depend on its company, as a library's
products do. Legend: T tokens, W tokens whose state is wanted, R rows, D width, V text ids, K codes.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.config import DecoderConfig
from models.decoder import Decoder
from models.media import MediaTensors
from models.omni import OmniModel
from services.policy.engine import sampler
from services.policy.engine.executor import Cache, FlatStep
from services.policy.engine.model_ends import ModelEnds
from services.policy.engine.native.packed import Crew
from services.policy.engine.paged_attention import PagedAttention, plan_step
from services.policy.engine.sampler import Draw, Draws
from services.policy.engine.torch_cache import TorchCache


class FlatDecoder(Protocol):
    """A decoder over flat tokens and pages."""

    def run(self, step: FlatStep, cache: TorchCache) -> Tensor:
        """hidden_WD after the final norm."""


class DefinedDecoder:
    """models/decoder.py as it is."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    def run(self, step: FlatStep, cache: TorchCache) -> Tensor:
        device = step.hidden_TD.device
        plan = plan_step(step, device)
        attention = PagedAttention(cache, plan)
        hidden_1TD: Tensor = self._decoder(step.hidden_TD[None], plan.positions_T[None], attention)
        return step.wanted(hidden_1TD[0])


@dataclass(frozen=True, slots=True, eq=False)
class TorchExecutor:
    """See executor.Executor."""

    ends: ModelEnds
    decoder: FlatDecoder
    sample: Callable[[Draws], Draw]
    cache: TorchCache

    def embed(self, ids_T: NDArray[np.int64]) -> Tensor:
        return self.ends.embed(ids_T)

    def run(self, step: FlatStep) -> Tensor:
        return self.decoder.run(step, self.cache)

    def copy_page(self, source: int, target: int) -> None:
        self.cache.copy_page(source, target)

    def text_logits(self, hidden_RD: Tensor) -> Tensor:
        return self.ends.text_logits(hidden_RD)

    def code_logits(self, hidden_RD: Tensor) -> Tensor:
        return self.ends.code_logits(hidden_RD)

    def draw(self, draws: Draws) -> Draw:
        return self.sample(draws)


@dataclass(frozen=True, slots=True, eq=False)
class TorchWeights:
    """See executor.Weights."""

    config: DecoderConfig
    ends: ModelEnds
    decoder: FlatDecoder
    sample: Callable[[Draws], Draw] = sampler.draw

    @property
    def device(self) -> torch.device:
        return self.ends.device

    @property
    def element_bytes(self) -> int:
        return self.ends.dtype.itemsize

    @property
    def cache_kind(self) -> str:
        return f"torch {self.ends.device} {self.ends.dtype}"

    def encode_media(self, media: MediaTensors) -> Tensor:
        return self.ends.encode_media(media)

    def new_cache(self, num_pages: int) -> TorchCache:
        return TorchCache(self.config, num_pages, self.ends.device, self.ends.dtype)

    def executor(self, crew: Crew, cache: Cache) -> TorchExecutor:
        assert isinstance(cache, TorchCache)
        return TorchExecutor(self.ends, self.decoder, self.sample, cache)


def torch_weights(model: OmniModel, device: torch.device, dtype: torch.dtype) -> TorchWeights:
    """A copy of the model on a device, run by its definition."""
    decoder = copy.deepcopy(model.language_model).to(device, dtype)
    return TorchWeights(
        model.config.decoder, ModelEnds(model, device, dtype), DefinedDecoder(decoder)
    )
