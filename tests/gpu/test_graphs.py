"""Decode steps as CUDA graphs against the same steps run as they come."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.config import DecoderConfig
from models.decoder import Decoder
from services.policy.engine.executor import FlatStep
from services.policy.engine.torch_cache import TorchCache

pytestmark = pytest.mark.gpu

CONFIG = DecoderConfig(width=64, num_layers=2, num_heads=4, num_kv_heads=2, max_length=256)
NUM_PAGES = 64


@pytest.fixture(scope="module")
def decoder(cuda):
    from services.policy.engine.cuda.decoder import FusedDecoder

    torch.manual_seed(0)
    return FusedDecoder(Decoder(CONFIG).requires_grad_(False), cuda, torch.float32)


def step_of(device, num_rows, position, seed, num_guesses=0):
    """Each row has four pages of its own; the last has guesses besides its next token."""
    generator = torch.Generator().manual_seed(seed)
    every = np.arange(num_rows + num_guesses)
    return FlatStep(
        torch.randn(len(every), CONFIG.width, generator=generator).to(device),
        (position + np.maximum(0, every - num_rows + 1)).astype(np.int32),
        np.minimum(every, num_rows - 1).astype(np.int32),
        np.arange(NUM_PAGES, dtype=np.int32).reshape(-1, 4)[:num_rows],
    )


@torch.inference_mode()
@pytest.mark.parametrize(("num_rows", "num_guesses"), [(1, 0), (3, 0), (16, 0), (2, 5)])
def test_replayed_steps_equal_eager_ones(decoder, cuda, num_rows, num_guesses):
    from services.policy.engine.cuda.graphs import DecodeGraphs

    eager, replayed = (TorchCache(CONFIG, NUM_PAGES, cuda, torch.float32) for _ in range(2))
    graphs = DecodeGraphs(decoder)
    for position in range(40):
        step = step_of(cuda, num_rows, position, position, num_guesses)
        copy = replace(step, hidden_TD=step.hidden_TD.clone())
        wanted = decoder.run(step, eager)
        torch.testing.assert_close(graphs.run(copy, replayed), wanted, atol=1e-5, rtol=1e-5)
    for layer in range(CONFIG.num_layers):
        for ours, theirs in zip(replayed.layer(layer), eager.layer(layer), strict=True):
            torch.testing.assert_close(ours[:NUM_PAGES], theirs[:NUM_PAGES], atol=1e-5, rtol=1e-5)
    assert len(graphs._graphs) == 1


@torch.inference_mode()
def test_a_result_outlives_the_next_replay(decoder, cuda):
    from services.policy.engine.cuda.graphs import DecodeGraphs

    graphs, cache = DecodeGraphs(decoder), TorchCache(CONFIG, NUM_PAGES, cuda, torch.float32)
    first = graphs.run(step_of(cuda, 2, 0, seed=1), cache)
    kept = first.clone()
    graphs.run(step_of(cuda, 2, 1, seed=2), cache)
    assert torch.equal(first, kept)
