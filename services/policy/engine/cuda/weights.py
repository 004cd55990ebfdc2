"""A version on CUDA: packed for the fused kernels, its decode steps replayed as graphs."""

from dataclasses import dataclass

import torch

from models.omni import OmniModel
from services.policy.engine.cuda.decoder import FusedDecoder
from services.policy.engine.cuda.graphs import DecodeGraphs
from services.policy.engine.cuda.sampling import draw
from services.policy.engine.executor import Cache
from services.policy.engine.model_ends import ModelEnds
from services.policy.engine.native.packed import Crew
from services.policy.engine.torch_cache import TorchCache
from services.policy.engine.torch_executor import TorchExecutor, TorchWeights


@dataclass(frozen=True, slots=True, eq=False)
class CudaWeights(TorchWeights):
    """See executor.Weights."""

    def executor(self, crew: Crew, cache: Cache) -> TorchExecutor:
        """Graphs are an executor's own: they know the addresses of its cache."""
        assert isinstance(cache, TorchCache)
        decoder = self.decoder
        if isinstance(decoder, FusedDecoder) and self.device.type == "cuda":
            decoder = DecodeGraphs(decoder)
        return TorchExecutor(self.ends, decoder, self.sample, cache)


def cuda_weights(model: OmniModel, device: torch.device, dtype: torch.dtype) -> CudaWeights:
    """`device` is CUDA, or the CPU where Triton's interpreter runs."""
    decoder = FusedDecoder(model.language_model, device, dtype)
    return CudaWeights(model.config.decoder, ModelEnds(model, device, dtype), decoder, draw)
