"""A decode step in plain torch, eager or compiled, over caches of fixed size.

Legend: B sequences, D width, H heads, J key-value heads, K head size, S cached and new tokens.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.config import DecoderConfig
from models.decoder import Rotation
from models.omni import OmniModel
from tests.bench.kernels.shapes import CACHED_TOKENS, DTYPES, layer_weights
from tests.bench.kernels.timing import Way

_NAMES = ("input_norm", "post_norm", "qkv", "output", "gate_up", "down")


def torch_step(model: OmniModel, ids_B: Tensor, dtype: str, is_compiled: bool) -> Way:
    """logits_BV after one more token each. Compiled, weights are constants that inductor packs."""
    module = _Step(model, len(ids_B)).to(DTYPES[dtype]).requires_grad_(False).eval()
    run = (
        torch.compile(module, dynamic=False, options={"freezing": True}) if is_compiled else module
    )

    def call() -> Tensor:
        with torch.no_grad():
            return run(ids_B).float()

    return call


class _Step(nn.Module):
    def __init__(self, model: OmniModel, num_rows: int) -> None:
        super().__init__()
        self.config: DecoderConfig = model.config.decoder
        self.embedding = nn.Parameter(model.language_model.embed_tokens.weight)
        self.final_norm = nn.Parameter(model.language_model.norm.weight)
        self.head = nn.Parameter(model.text_head_VD)
        of_layers = layer_weights(model)
        for name in _NAMES:
            weights = [nn.Parameter(getattr(layer, name)) for layer in of_layers]
            setattr(self, name, nn.ParameterList(weights))
        config = self.config
        shape = (num_rows, config.num_kv_heads, CACHED_TOKENS + 1, config.head_size)
        for index in range(config.num_layers):
            self.register_buffer(f"keys_{index}", torch.zeros(shape))
            self.register_buffer(f"values_{index}", torch.zeros(shape))
        rotation = Rotation(torch.tensor([[CACHED_TOKENS]]), config)
        self.register_buffer("cos_B1LK", rotation.cos_B1LK)
        self.register_buffer("sin_B1LK", rotation.sin_B1LK)

    def forward(self, ids_B: Tensor) -> Tensor:
        hidden_BD = self.embedding[ids_B]
        for index in range(self.config.num_layers):
            normed_BD = self._normed(hidden_BD, self.input_norm[index])
            mixed_BD = self._attended(normed_BD, index)
            hidden_BD = hidden_BD + functional.linear(mixed_BD, self.output[index])
            normed_BD = self._normed(hidden_BD, self.post_norm[index])
            gate, up = functional.linear(normed_BD, self.gate_up[index]).chunk(2, dim=-1)
            hidden_BD = hidden_BD + functional.linear(functional.silu(gate) * up, self.down[index])
        return functional.linear(self._normed(hidden_BD, self.final_norm), self.head)

    def _attended(self, normed_BD: Tensor, index: int) -> Tensor:
        heads, kv_heads = self.config.num_heads, self.config.num_kv_heads
        qkv = functional.linear(normed_BD, self.qkv[index])
        qkv_BN1K = qkv.view(len(qkv), heads + 2 * kv_heads, 1, self.config.head_size)
        query_BH1K, key_BJ1K, value_BJ1K = qkv_BN1K.split([heads, kv_heads, kv_heads], dim=1)
        keys_BJSK, values_BJSK = (getattr(self, f"{n}_{index}") for n in ("keys", "values"))
        keys_BJSK[:, :, CACHED_TOKENS:] = self._rotated(key_BJ1K)
        values_BJSK[:, :, CACHED_TOKENS:] = value_BJ1K
        mixed_BH1K = functional.scaled_dot_product_attention(
            self._rotated(query_BH1K), keys_BJSK, values_BJSK, enable_gqa=True
        )
        return mixed_BH1K.flatten(1)

    def _rotated(self, values: Tensor) -> Tensor:
        first, second = values.chunk(2, dim=-1)
        turned = torch.cat([-second, first], dim=-1)
        return values * self.cos_B1LK + turned * self.sin_B1LK

    def _normed(self, hidden_BD: Tensor, weight_D: Tensor) -> Tensor:
        return functional.rms_norm(hidden_BD, weight_D.shape, weight_D, self.config.norm_eps)
