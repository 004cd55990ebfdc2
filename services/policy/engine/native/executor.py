"""Runs a version on the compiled kernels. Every row's result is its own, whatever its company.

Legend: T tokens, W tokens whose state is wanted, R rows, D width, V text ids, K codes.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.media import MediaTensors
from models.omni import OmniModel
from services.policy.engine.executor import Cache, FlatStep
from services.policy.engine.model_ends import embedding_VD, without_language_model
from services.policy.engine.native import sampler
from services.policy.engine.native.decoder import NativeDecoder, PagedCache
from services.policy.engine.native.library import library
from services.policy.engine.native.packed import Crew, PackedLinear, Precision
from services.policy.engine.sampler import Draw, Draws


class CodeHead:
    """Of a model that draws pictures: two layers."""

    def __init__(self, model: OmniModel, precision: Precision) -> None:
        first, second = model.generation_head.proj_out, model.generation_head.vision_head
        self._projection = PackedLinear(first.weight, first.bias, precision)
        self._head = PackedLinear(second.weight, second.bias, precision)

    def __call__(self, hidden_RD: Tensor, crew: Crew) -> Tensor:
        return self._head(functional.gelu(self._projection(hidden_RD, crew)), crew)


class NativeWeights:
    """A model's decoder and heads, packed once. See executor.Weights."""

    device = torch.device("cpu")
    element_bytes = 4
    cache_kind = "native"

    def __init__(self, model: OmniModel, precision: Precision) -> None:
        decoder = model.language_model
        self._encoders = without_language_model(model)
        self.config = decoder.config
        self.precision = precision
        self.decoder = NativeDecoder(decoder, precision)
        self.norm_D = decoder.norm.weight.detach().float().contiguous()
        self.embedding_VD = embedding_VD(model)
        self.text_head = PackedLinear(model.text_head_VD, None, precision)
        self.code_head = None if model.config.vq is None else CodeHead(model, precision)

    def encode_media(self, media: MediaTensors) -> Tensor:
        features_FD = self._encoders.encode_media(media)
        assert features_FD is not None
        return features_FD

    def new_cache(self, num_pages: int) -> PagedCache:
        return PagedCache(self.config, num_pages)

    def executor(self, crew: Crew, cache: Cache) -> "NativeExecutor":
        assert isinstance(cache, PagedCache)
        return NativeExecutor(self, crew, cache)


@dataclass(frozen=True, slots=True)
class NativeExecutor:
    """See executor.Executor."""

    weights: NativeWeights
    crew: Crew
    cache: PagedCache

    def embed(self, ids_T: NDArray[np.int64]) -> Tensor:
        return self.weights.embedding_VD[torch.from_numpy(ids_T)]

    def run(self, step: FlatStep) -> Tensor:
        weights = self.weights
        weights.decoder.run(step, self.cache, self.crew)
        hidden_WD = step.wanted(step.hidden_TD)
        address = hidden_WD.data_ptr()
        library().attune_normalize(
            address, weights.norm_D.data_ptr(), *hidden_WD.shape, weights.config.norm_eps, address
        )
        return hidden_WD

    def copy_page(self, source: int, target: int) -> None:
        self.cache.copy_page(source, target)

    def text_logits(self, hidden_RD: Tensor) -> Tensor:
        return self.weights.text_head(hidden_RD, self.crew)

    def code_logits(self, hidden_RD: Tensor) -> Tensor:
        assert self.weights.code_head is not None
        return self.weights.code_head(hidden_RD, self.crew)

    def draw(self, draws: Draws) -> Draw:
        return sampler.draw(draws, self.crew)
