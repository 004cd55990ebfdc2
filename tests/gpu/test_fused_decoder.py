"""The fused decoder against models/decoder.py, over rows, guesses and chunks of prompts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from models.config import DecoderConfig, Llama3Rope
from models.decoder import Decoder
from services.policy.engine.executor import FlatStep
from services.policy.engine.torch_cache import TorchCache
from services.policy.engine.torch_executor import DefinedDecoder

NUM_PAGES = 24
LENGTHS = [1, 3, 12, 1]  # the second has guesses, the third is a chunk
SCALING = Llama3Rope(factor=4, low_freq_factor=1, high_freq_factor=4, original_length=16)
VARIANTS = {
    "plain": {"num_heads": 4, "num_kv_heads": 4, "head_size": 16},
    "grouped": {"num_heads": 6, "num_kv_heads": 2, "head_size": 24, "mlp_width": 100},
    "biased and stretched": {"num_heads": 2, "num_kv_heads": 1, "head_size": 20, "qkv_bias": True,
                             "rope_scaling": SCALING},
}  # fmt: skip


def decoder_of(variant):
    torch.manual_seed(1)
    config = DecoderConfig(**{"vocab_size": 8, "width": 48, "num_layers": 2, "mlp_width": 64,
                              "max_length": 96, **VARIANTS[variant]})  # fmt: skip
    decoder = Decoder(config).requires_grad_(False)
    for parameter in decoder.parameters():
        if parameter.ndim == 1:
            nn.init.uniform_(parameter, 0.5, 1.5)
    return decoder


def steps():
    """Hidden states and positions of two steps: the second goes on where the first ended."""
    generator = torch.Generator().manual_seed(2)
    for start in (0, 12):
        positions = [start + np.arange(length, dtype=np.int32) for length in LENGTHS]
        yield FlatStep(
            torch.randn(sum(LENGTHS), 48, generator=generator),
            np.concatenate(positions),
            np.repeat(np.arange(len(LENGTHS), dtype=np.int32), LENGTHS),
            np.random.default_rng(3).permutation(NUM_PAGES).astype(np.int32).reshape(4, -1),
            np.array([0, 1, 2, 3, 15, 16]),
        )


@torch.inference_mode()
@pytest.mark.parametrize("variant", VARIANTS)
def test_states_and_cache_are_those_of_the_definition(device, variant):
    from services.policy.engine.cuda.decoder import FusedDecoder

    decoder, cpu = decoder_of(variant), torch.device("cpu")
    wanted_cache = TorchCache(decoder.config, NUM_PAGES, cpu, torch.float32)
    cache = TorchCache(decoder.config, NUM_PAGES, device, torch.float32)
    defined, fused = DefinedDecoder(decoder), FusedDecoder(decoder, device, torch.float32)
    for step in steps():
        wanted = defined.run(step, wanted_cache)
        got = fused.run(replace(step, hidden_TD=step.hidden_TD.to(device, copy=True)), cache)
        torch.testing.assert_close(got.cpu(), wanted, atol=2e-5, rtol=2e-5)
    for layer in range(decoder.config.num_layers):
        pairs = zip(cache.layer(layer), wanted_cache.layer(layer), strict=True)
        for pages, wanted_pages in pairs:
            torch.testing.assert_close(pages.cpu(), wanted_pages, atol=2e-5, rtol=2e-5)
