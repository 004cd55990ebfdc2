"""The models of `attune bench generate`, as modules of random weights."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from models import checkpoint
from models.omni import OmniModel
from services.policy.bench.random_llama import SIZES, write_random_llama

BATCHES = (1, 8, 64)
CACHED_TOKENS = 96  # of each sequence: halfway through 128 new ones after 32
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# How far logits may be from those of plain torch in float32.
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.3}


def model_of(size: str) -> OmniModel:
    """Float32, eval mode."""
    with TemporaryDirectory() as folder:
        write_random_llama(Path(folder), SIZES[size], torch.float32)
        return checkpoint.load(Path(folder)).model.eval().requires_grad_(False)


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """Of one layer, fused as all ways run them: [outputs, inputs]."""

    input_norm: Tensor
    post_norm: Tensor
    qkv: Tensor
    output: Tensor
    gate_up: Tensor
    down: Tensor


def layer_weights(model: OmniModel) -> list[LayerWeights]:
    return [
        LayerWeights(
            layer.input_layernorm.weight,
            layer.post_attention_layernorm.weight,
            torch.cat([getattr(layer.self_attn, f"{name}_proj").weight for name in "qkv"]),
            layer.self_attn.o_proj.weight,
            torch.cat([layer.mlp.gate_proj.weight, layer.mlp.up_proj.weight]),
            layer.mlp.down_proj.weight,
        )
        for layer in model.language_model.layers
    ]
