"""The torch executor, through the engine: against the compiled kernels, and against dense passes
for sizes and precisions that these do not take."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from models.attention import DenseAttention
from models.checkpoint import Checkpoint, load
from models.config import DecoderConfig
from models.decoder import Decoder
from models.grammar import Kind
from models.omni import OmniModel
from models.preprocessing.conversation import Role, Text, Turn
from services.policy.config import PolicyConfig
from services.policy.engine.executor import FlatStep
from services.policy.engine.limits import EngineLimits
from services.policy.engine.paged_attention import PagedAttention, plan_step
from services.policy.engine.placement import weights_of
from services.policy.engine.request import Group, Sampling
from services.policy.engine.served_model import served_model
from services.policy.engine.torch_cache import TorchCache
from services.policy.engine.torch_executor import DefinedDecoder, TorchWeights, torch_weights
from tests.support.engine_parity import assert_same_samples, groups_of_all_kinds
from tests.support.family_folders import write_llama
from tests.unit.policy.tiny_policy import (
    CONFIG,
    dense_logits,
    generate,
    make_group,
    make_preprocessor,
    make_served,
    running_engine,
)

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def served():
    return make_served(make_preprocessor())


def on_torch(served, dtype=torch.float32):
    return replace(served, weights=torch_weights(served.model, CPU, dtype))


@pytest.mark.parametrize("max_prefill_tokens", [512, 11])
def test_same_tokens_and_logprobs_as_the_compiled_kernels(served, max_prefill_tokens):
    groups = groups_of_all_kinds(served)
    with running_engine() as engine:
        wanted = generate(engine, served, groups)
    with running_engine(EngineLimits(max_prefill_tokens=max_prefill_tokens)) as engine:
        got = generate(engine, on_torch(served), groups)
        assert not engine._observer.errors
    assert_same_samples(got, wanted, within=1e-5)


def test_guesses_are_rows_that_draw_the_same_tokens(served):
    """Greedy answers of a random model soon repeat themselves, which suits guesses."""
    settings = {"temperature": 0.0, "max_tokens": 100, "ignore_eos": True}
    group = make_group(served, "a red circle", None, 1, 0, **settings)
    with running_engine(EngineLimits(max_drafted_rows=0)) as engine:
        wanted = generate(engine, served, [group])
    with running_engine() as engine:
        assert_same_samples(generate(engine, on_torch(served), [group]), wanted, within=1e-5)
        assert len(engine._observer.steps) < 80


def test_sizes_that_the_kernels_refuse_are_served_by_the_definition():
    decoder = CONFIG.decoder.model_copy(update={"head_size": 10, "mlp_width": 40})
    model = OmniModel(CONFIG.model_copy(update={"decoder": decoder}), seed=3)
    served = served_model("odd", Checkpoint(model, make_preprocessor()))
    assert isinstance(served.weights, TorchWeights)
    assert_near_dense_passes(served, within=2e-5)


def test_a_model_without_encoders_and_with_a_tied_head_runs_as_on_the_compiled_kernels(tmp_path):
    write_llama(tmp_path)
    served = served_model("text only", load(tmp_path))
    prompt = served.preprocessor.encode((Turn(Role.USER, (Text("what colour is it?"),)),))
    group = Group(0, prompt, Sampling(max_tokens=8, seed=3, ignore_eos=True), num_samples=2)
    with running_engine() as engine:
        wanted = generate(engine, served, [group])
    with running_engine() as engine:
        assert_same_samples(generate(engine, on_torch(served), [group]), wanted, within=1e-5)


def test_bfloat16_stays_near_float32(served):
    near = on_torch(served, torch.bfloat16)
    assert near.weights.element_bytes == 2
    assert_near_dense_passes(near, within=0.15)


def assert_near_dense_passes(served, within):
    group = make_group(served, "what colour is it?", 1, 2, 0, max_tokens=20, ignore_eos=True)
    with running_engine() as engine:
        samples = generate(engine, served, [group])
    allowed_V = served.grammar.text_mask_V(allow_image=False)
    for sample in samples:
        logits_TV, kinds = dense_logits(served, group.prompt, sample.token_ids_T.tolist())
        assert set(kinds) == {Kind.TEXT}
        logprobs_TV = logits_TV.masked_fill(~allowed_V, -torch.inf).log_softmax(-1)
        ids_T1 = torch.from_numpy(sample.token_ids_T)[:, None]
        wanted_T = logprobs_TV.gather(1, ids_T1).squeeze(1)
        assert np.abs(sample.logprobs_T - wanted_T.numpy()).max() < within


def test_tokens_of_several_sequences_may_come_in_any_order():
    torch.manual_seed(1)
    config = DecoderConfig(vocab_size=8, width=24, num_layers=2, num_heads=4, num_kv_heads=2,
                           head_size=6, mlp_width=20)  # fmt: skip
    decoder = Decoder(config).eval().requires_grad_(False)
    lengths = [1, 5, 9, 17, 33, 1]
    inputs = [torch.randn(length, 24) for length in lengths]
    dense = [
        decoder(each[None], torch.arange(len(each))[None], DenseAttention())[0] for each in inputs
    ]
    order = np.random.default_rng(2).permutation(sum(lengths))
    step = FlatStep(
        torch.cat(inputs)[order],
        np.concatenate([np.arange(length, dtype=np.int32) for length in lengths])[order],
        np.repeat(np.arange(6, dtype=np.int32), lengths)[order],
        np.random.default_rng(3).permutation(24).astype(np.int32).reshape(6, 4),
    )
    got = DefinedDecoder(decoder).run(step, TorchCache(config, 24, CPU, torch.float32))
    assert (got - torch.cat(dense)[order]).abs().max() < 1e-5


def test_a_chunk_must_not_leave_a_gap():
    arrays = (np.array(a, np.int32) for a in ([0, *range(2, 11)], [0] * 10, [[0]]))
    step = FlatStep(torch.zeros(10, 4), *arrays)
    with pytest.raises(AssertionError, match="not consecutive"):
        plan_step(step, CPU)


def test_a_copied_page_is_seen_like_the_first():
    config = DecoderConfig(num_layers=2, num_kv_heads=1, head_size=4)
    cache = TorchCache(config, 3, CPU, torch.float32)
    step = FlatStep(torch.zeros(1, 1), *np.zeros((2, 1), np.int32), np.array([[1]], np.int32))
    attention = PagedAttention(cache, plan_step(step, CPU))
    for layer in range(2):
        attention.store(layer, torch.randn(1, 1, 4), torch.randn(1, 1, 4))
    cache.copy_page(1, 2)
    for layer in range(2):
        for pages_NJPK in cache.layer(layer):
            assert pages_NJPK[1].any()
            assert torch.equal(pages_NJPK[1], pages_NJPK[2])


def test_a_device_that_is_not_there_is_refused_and_auto_takes_what_there_is(served):
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    assert PolicyConfig().device == PolicyConfig(device="cpu").device == "cpu"
    with pytest.raises(ValidationError, match="no CUDA device; install a driver and a CUDA build"):
        PolicyConfig(device="cuda")
    assert weights_of(served.model, PolicyConfig().placement).cache_kind == "native"
