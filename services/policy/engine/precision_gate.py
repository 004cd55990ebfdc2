"""Whether weights of a lower precision still say what the model says, checked when it is loaded.

Random words go through the model's definition in float32 and through the packed weights; the mean
divergence of the distributions over the next word decides. Legend: S sequences, L their length,
T = S·L tokens, N pages of a sequence, V text ids.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.attention import DenseAttention
from models.omni import OmniModel
from services.policy.engine.executor import FlatStep
from services.policy.engine.native.executor import NativeExecutor, NativeWeights
from services.policy.engine.native.packed import Crew
from services.policy.engine.pages import PAGE_TOKENS

MAX_MEAN_DIVERGENCE = 0.01  # nats per word

_NUM_SEQUENCES, _NUM_PAGES = 8, 4


@dataclass(frozen=True, slots=True)
class Difference:
    """KL divergence in nats: of a word on average, and of the worst."""

    mean: float
    worst: float


class PrecisionError(ValueError):
    """Weights of a precision that changes the model too much."""


def check_precision(model: OmniModel, weights: NativeWeights) -> Difference:
    """Raises PrecisionError with the figures."""
    difference = measure_difference(model, weights)
    if not difference.mean <= MAX_MEAN_DIVERGENCE:
        raise PrecisionError(
            f"weights in {weights.precision.name.lower()} change the model: its words diverge by"
            f" {difference.mean:.4f} nats on average, {difference.worst:.3f} at worst, where"
            f" {MAX_MEAN_DIVERGENCE} on average are allowed; take a higher precision"
        )
    return difference


@torch.inference_mode()
def measure_difference(model: OmniModel, weights: NativeWeights) -> Difference:
    """Over the same random words each time."""
    length = min(_NUM_PAGES * PAGE_TOKENS, model.config.decoder.max_length)
    generator = torch.Generator().manual_seed(0)
    shape = (_NUM_SEQUENCES, length)
    ids_SL = torch.randint(model.config.decoder.vocab_size, shape, generator=generator)
    exact_TV = _exact_logits(model, ids_SL).log_softmax(-1)
    packed_TV = _packed_logits(weights, ids_SL).log_softmax(-1)
    divergence_T = (exact_TV.exp() * (exact_TV - packed_TV)).sum(-1)
    return Difference(float(divergence_T.mean()), float(divergence_T.max()))


def _exact_logits(model: OmniModel, ids_SL: Tensor) -> Tensor:
    """logits_TV by the definition."""
    positions_SL = torch.arange(ids_SL.shape[1]).expand_as(ids_SL)
    hidden_SLD = model.language_model.embed_tokens(ids_SL)
    decoded_SLD = model.decode(hidden_SLD, positions_SL, DenseAttention())
    return model.text_logits(decoded_SLD.flatten(0, 1)).float()


def _packed_logits(weights: NativeWeights, ids_SL: Tensor) -> Tensor:
    """logits_TV on the kernels."""
    num_sequences, length = ids_SL.shape
    num_pages = -(-length // PAGE_TOKENS)
    cache = weights.new_cache(num_sequences * num_pages)
    executor = NativeExecutor(weights, Crew(1), cache)
    tables_SN = np.arange(num_sequences * num_pages, dtype=np.int32).reshape(num_sequences, -1)
    step = FlatStep(
        hidden_TD=executor.embed(ids_SL.flatten().numpy()),
        positions_T=np.tile(np.arange(length, dtype=np.int32), num_sequences),
        table_of_T=np.repeat(np.arange(num_sequences, dtype=np.int32), length),
        tables_SN=tables_SN,
    )
    return executor.text_logits(executor.run(step))
