"""The compiled decoder against models/decoder.py, and each row's independence of all others."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from models.attention import DenseAttention
from models.config import DecoderConfig
from models.decoder import Decoder
from services.policy.engine.executor import FlatStep
from services.policy.engine.native.decoder import NativeDecoder, PagedCache
from services.policy.engine.native.packed import Crew, PackedLinear, Precision

LENGTH = 75
NUM_PAGES = 64
SHAPES = {
    "base": {"width": 128, "num_layers": 3, "num_heads": 4, "num_kv_heads": 2, "head_size": 32},
    "one head": {"width": 48, "num_layers": 2, "num_heads": 1, "num_kv_heads": 1, "head_size": 16},
    "wide heads": {
        "width": 96,
        "num_layers": 2,
        "num_heads": 6,
        "num_kv_heads": 3,
        "head_size": 80,
    },
    "biased": {
        **{"width": 64, "num_layers": 2, "num_heads": 4, "num_kv_heads": 2, "head_size": 16},
        **{"qkv_bias": True, "rope_scaling": {"kind": "linear", "factor": 2.0}},
    },
    "grouped": {"width": 64, "num_layers": 2, "num_heads": 8, "num_kv_heads": 1, "head_size": 64},
}


def decoder_of(name):
    torch.manual_seed(1)
    config = DecoderConfig(vocab_size=32, mlp_width=176, max_length=256, **SHAPES[name])
    decoder = Decoder(config).eval().requires_grad_(False)
    for parameter in decoder.parameters():
        if parameter.ndim == 1:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return decoder


class Cached:
    """One sequence at a time through a native decoder, on pages in a random order."""

    def __init__(self, decoder, precision, num_threads):
        self.width = decoder.config.width
        self.native, self.crew = NativeDecoder(decoder, precision), Crew(num_threads)
        self.cache = PagedCache(decoder.config, NUM_PAGES)
        self.tables_SN = np.random.default_rng(2).permutation(NUM_PAGES).reshape(-1, 8)

    def step(self, hidden_TD, positions_T, table_of_T):
        """In place."""
        indices = [np.asarray(a, np.int32) for a in (positions_T, table_of_T, self.tables_SN)]
        self.native.run(FlatStep(hidden_TD, *indices), self.cache, self.crew)

    def run(self, chunks, inputs_LD):
        """Outputs of a sequence that comes in chunks of these lengths."""
        outputs, start = [], 0
        for length in chunks:
            hidden_TD = inputs_LD[start : start + length].clone()
            self.step(hidden_TD, np.arange(start, start + length), np.zeros(length))
            outputs.append(hidden_TD)
            start += length
        return torch.cat(outputs)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("num_threads", [1, 2])
def test_float32_agrees_with_the_definition(name, num_threads):
    decoder = decoder_of(name)
    inputs_LD = torch.randn(LENGTH, decoder.config.width)
    wanted = decoder(inputs_LD[None], torch.arange(LENGTH)[None], DenseAttention())[0]
    hidden = Cached(decoder, Precision.FLOAT32, num_threads).run([LENGTH], inputs_LD)
    got = functional.rms_norm(hidden, hidden.shape[-1:], decoder.norm.weight, 1e-6)
    assert (got - wanted).abs().max() < 2e-5


@pytest.mark.parametrize(("precision", "within"), [("BFLOAT16", 0.05), ("INT8", 0.05)])
def test_lower_precisions_stay_near_the_definition(precision, within):
    decoder = decoder_of("base")
    inputs_LD = torch.randn(LENGTH, decoder.config.width)
    exact = Cached(decoder, Precision.FLOAT32, 1).run([LENGTH], inputs_LD)
    near = Cached(decoder, Precision[precision], 1).run([LENGTH], inputs_LD)
    difference = (near - exact).norm() / exact.norm()
    assert 1e-5 < difference < within


@pytest.mark.parametrize("precision", list(Precision))
@pytest.mark.parametrize("name", ["base", "wide heads"])
def test_any_chunking_gives_the_same_bits(name, precision):
    decoder = decoder_of(name)
    inputs_LD = torch.randn(LENGTH, decoder.config.width)
    whole = Cached(decoder, precision, 2).run([LENGTH], inputs_LD)
    for chunks in ([1] * LENGTH, [40, 1, 34], [16, 16, 16, 16, 11], [3, 13, 59]):
        assert torch.equal(Cached(decoder, precision, 1).run(chunks, inputs_LD), whole)


@pytest.mark.parametrize("precision", list(Precision))
def test_any_company_gives_the_same_bits(precision):
    """Tokens of several sequences in one step, in a random order."""
    decoder = decoder_of("base")
    generator = torch.Generator().manual_seed(3)
    lengths = [1, 5, 16, 17, 33, 64]
    inputs = [torch.randn(length, 128, generator=generator) for length in lengths]
    alone = [
        Cached(decoder, precision, 1).run([length], hidden_LD)
        for length, hidden_LD in zip(lengths, inputs, strict=True)
    ]
    together = Cached(decoder, precision, 2)
    order = torch.randperm(sum(lengths), generator=generator)
    sequence_of = np.repeat(np.arange(len(lengths)), lengths)[order]
    positions = np.concatenate([np.arange(length) for length in lengths])[order]
    hidden_TD = torch.cat(inputs)[order]
    together.step(hidden_TD, positions, sequence_of)
    assert torch.equal(hidden_TD, torch.cat(alone)[order])


@pytest.mark.parametrize("precision", list(Precision))
def test_products_are_right_for_any_number_of_rows_and_outputs(precision):
    crew = Crew(2)
    for num_outputs in (1, 16, 31, 33, 96):
        weight_NK, bias_N = torch.randn(num_outputs, 48), torch.randn(num_outputs)
        packed = PackedLinear(weight_NK, bias_N, precision)
        input_MK = torch.randn(40, 48)
        whole = packed(input_MK, crew)
        error = (whole - functional.linear(input_MK, weight_NK, bias_N)).abs().max()
        assert error < (1e-5 if precision is Precision.FLOAT32 else 0.2)
        for num_rows in (1, 2, 11, 12, 13, 25):
            assert torch.equal(packed(input_MK[:num_rows], crew), whole[:num_rows])


def test_a_crew_that_lends_its_threads_computes_the_same_bits():
    crew, generator = Crew(3), torch.Generator().manual_seed(4)
    packed = PackedLinear(torch.randn(512, 512, generator=generator), None, Precision.FLOAT32)
    input_MK = torch.randn(40, 512, generator=generator)  # work enough to be shared
    whole = packed(input_MK, crew)
    for num_lent in (1, 2, 5, 0):
        crew.lend(num_lent)
        assert torch.equal(packed(input_MK, crew), whole)


def test_sizes_that_the_kernels_do_not_take_are_refused():
    config = DecoderConfig(vocab_size=8, width=48, num_heads=2, num_kv_heads=2, head_size=24)
    with pytest.raises(ValueError, match="head_size is 24; the kernels take multiples of 16"):
        NativeDecoder(Decoder(config), Precision.FLOAT32)
    with pytest.raises(ValueError, match="40 inputs"):
        PackedLinear(torch.zeros(4, 40), None, Precision.FLOAT32)
