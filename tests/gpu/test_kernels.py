"""Each Triton kernel against plain torch, on CUDA or in Triton's interpreter.

Legend as in the kernels' files.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.config import DecoderConfig
from models.decoder import Rotation
from services.policy.engine import paged_attention, sampler
from services.policy.engine.executor import FlatStep
from services.policy.engine.paged_attention import PagedAttention, plan_step
from services.policy.engine.sampler import Draws, Guidance, Knobs, resolve_knobs
from services.policy.engine.torch_cache import TorchCache

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)


def random(*shape, seed=0, dtype=torch.float32, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(device, dtype)


def assert_near(got, wanted):
    """As near as the last bits of the precision are."""
    within = 2e-5 if got.dtype is torch.float32 else 2e-2
    torch.testing.assert_close(got.float(), wanted.float(), atol=within, rtol=within)


@DTYPES
@pytest.mark.parametrize("width", [32, 96, 300])
def test_residual_norm(device, dtype, width):
    from services.policy.engine.cuda.residual_norm import add_rms_norm

    hidden, update = (random(5, width, seed=seed, dtype=dtype, device=device) for seed in (1, 2))
    weight = random(width, seed=3, dtype=dtype, device=device)
    only_normed = add_rms_norm(hidden, None, weight, 1e-6)
    assert_near(only_normed, F.rms_norm(hidden, (width,), weight, 1e-6))
    total = hidden + update
    normed = add_rms_norm(hidden, update, weight, 1e-6)
    assert_near(hidden, total)  # the interpreter cuts bfloat16 off where a GPU rounds
    assert_near(normed, F.rms_norm(total, (width,), weight, 1e-6))


@DTYPES
@pytest.mark.parametrize("mlp_width", [48, 1500])
def test_swiglu(device, dtype, mlp_width):
    from services.policy.engine.cuda.swiglu import swiglu

    gate_up = random(3, 2 * mlp_width, dtype=dtype, device=device)
    gate, up = gate_up.chunk(2, dim=1)
    assert_near(swiglu(gate_up), F.silu(gate) * up)


def some_step(device):
    """Three rows, a chunk and a row with guesses, on pages in a random order."""
    tables_SN = np.random.default_rng(1).permutation(20).astype(np.int32).reshape(5, 4)
    positions = [[40], [0], [15], list(range(14, 24)), list(range(3))]
    lengths = [len(each) for each in positions]
    return FlatStep(
        torch.zeros(sum(lengths), 1, device=device),
        np.concatenate(positions).astype(np.int32),
        np.repeat(np.arange(5, dtype=np.int32), lengths),
        tables_SN,
    )


@DTYPES
@pytest.mark.parametrize("head_size", [16, 24])
def test_rotation_and_caching(device, dtype, head_size):
    from services.policy.engine.cuda.rotation import angles_of, rotate_and_store

    config = DecoderConfig(
        num_layers=1, num_heads=4, num_kv_heads=2, head_size=head_size, max_length=64
    )
    plan = plan_step(some_step(device), device)
    heads_TAK = random(len(plan.positions_T), 8, head_size, dtype=dtype, device=device)
    query_THK, key_TJK, value_TJK = heads_TAK.split([4, 2, 2], dim=1)
    rotation = Rotation(plan.positions_T[None], config)
    wanted, got = (TorchCache(config, 20, device, dtype) for _ in range(2))
    rotated = [rotation.apply(each.transpose(0, 1)[None])[0] for each in (query_THK, key_TJK)]
    PagedAttention(wanted, plan).store(0, rotated[1].transpose(0, 1), value_TJK)
    query = rotate_and_store(heads_TAK, angles_of(config, device), plan, *got.layer(0))
    assert_near(query, rotated[0].transpose(0, 1))
    for pages, wanted_pages in zip(got.layer(0), wanted.layer(0), strict=True):
        assert_near(pages, wanted_pages)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("num_heads", "num_kv_heads", "head_size"), [(2, 2, 32), (4, 1, 16), (6, 2, 20)]
)
def test_decode_attention(device, dtype, num_heads, num_kv_heads, head_size):
    from services.policy.engine.cuda.decode_attention import attend_rows

    if dtype is torch.bfloat16 and device.type == "cpu":
        pytest.skip("Triton's interpreter multiplies no bfloat16")
    lengths = [1, 16, 17, 255, 256, 257, 600]
    num_pages, table = 300, 38
    keys, values = (
        random(num_pages, num_kv_heads, 16, head_size, seed=seed, dtype=dtype, device=device)
        for seed in (1, 2)
    )
    tables = np.random.default_rng(3).permutation(num_pages)[: len(lengths) * table]
    query = random(len(lengths), num_heads, head_size, seed=4, dtype=dtype, device=device)
    arguments = (
        *(query, keys, values),
        torch.from_numpy(tables.astype(np.int32).reshape(-1, table)).to(device),
        torch.tensor(lengths, dtype=torch.int32, device=device),
    )
    got = attend_rows(*arguments)
    assert_near(got, paged_attention.attend_rows(*arguments))
    alone = attend_rows(
        *(each[3:4] if i in (0, 3, 4) else each for i, each in enumerate(arguments))
    )
    assert torch.equal(alone[0], got[3])


def test_a_sequence_may_be_longer_than_the_shortest_parts_cover(device):
    from services.policy.engine.cuda.decode_attention import attend_rows

    num_pages = 540  # 8640 places, of which 32 parts of 256 hold 8192
    keys, values = (random(num_pages, 1, 16, 16, seed=s, device=device) for s in (1, 2))
    tables = torch.arange(num_pages, dtype=torch.int32, device=device)[None]
    lengths = torch.tensor([8630], dtype=torch.int32, device=device)
    arguments = (random(1, 1, 16, device=device), keys, values, tables, lengths)
    assert_near(attend_rows(*arguments), paged_attention.attend_rows(*arguments))


SETTINGS = {
    "plain": (1.0, None, 1.0),
    "cold": (0.7, None, 1.0),
    "greedy": (0.0, None, 1.0),
    "top k": (1.0, 5, 1.0),
    "top p": (1.3, None, 0.6),
    "both": (1.1, 7, 0.8),
}


def draws_of(settings, num_ids, device, num_rows=6, **others):
    rows = [settings[row % len(settings)] for row in range(num_rows)]
    columns = zip(*(resolve_knobs(*each) for each in rows), strict=True)
    types = (np.float32, np.int64, np.float32)
    knobs = Knobs(*(np.array(c, t) for c, t in zip(columns, types, strict=True)))
    logits = 3 * random(num_rows, num_ids, seed=num_ids, device=device)
    return Draws(logits, knobs, np.random.default_rng(num_ids).random(num_rows), **others)


def assert_draws_alike(draws):
    from services.policy.engine.cuda.sampling import draw

    got, wanted = draw(draws), sampler.draw(draws)
    assert np.array_equal(got.is_finite_R, wanted.is_finite_R)
    rows = np.flatnonzero(wanted.is_finite_R)
    assert np.array_equal(got.ids_R[rows], wanted.ids_R[rows])
    np.testing.assert_allclose(got.logprobs_R[rows], wanted.logprobs_R[rows], atol=3e-6)
    np.testing.assert_allclose(got.kept_mass_R[rows], wanted.kept_mass_R[rows], atol=3e-6)
    assert got.supports.keys() == wanted.supports.keys()
    for row in set(rows.tolist()) & wanted.supports.keys():
        assert np.array_equal(got.supports[row], wanted.supports[row])
    if draws.keep_logprobs:
        ours, theirs = (each.logprobs_RV[torch.from_numpy(rows)] for each in (got, wanted))
        torch.testing.assert_close(ours, theirs, atol=3e-6, rtol=1e-6)
    return got


@pytest.mark.parametrize("num_ids", [1, 7, 300, 4200])
@pytest.mark.parametrize("setting", SETTINGS)
def test_sampling(device, setting, num_ids):
    draws = draws_of([SETTINGS[setting]], num_ids, device, keep_logprobs=True)
    assert len(assert_draws_alike(draws).supports) == (0 if setting in ("plain", "cold") else 6)


def test_sampling_with_ties(device):
    draws = draws_of([(1.0, 4, 1.0), (1.0, None, 0.5), (0.0, None, 1.0), (1.0, 6, 0.5)], 40, device)
    draws.logits_RV.copy_(draws.logits_RV.round())
    draws.logits_RV[:2, 10:30] = 5.0
    assert_draws_alike(draws)


def test_sampling_with_guidance_biases_and_constraints(device):
    bias_BV = torch.zeros(2, 60, device=device)
    bias_BV[1, ::2] = -torch.inf
    is_allowed_CV = np.random.default_rng(5).random((2, 60)) < 0.3
    draws = draws_of(
        list(SETTINGS.values()),
        60,
        device,
        bias_BV=bias_BV,
        bias_of_R=np.array([0, 1, 1, 0, 1, 1]),
        is_allowed_CV=is_allowed_CV,
        constraint_of_R=np.array([-1, 0, 1, -1, 1, 0]),
        guidance=Guidance(
            random(2, 60, seed=9, device=device),
            np.array([1, 3]),
            np.array([3.0, 0.0], np.float32),
        ),
        keep_logprobs=True,
    )
    drawn = assert_draws_alike(draws)
    for row, constraint in ((1, 0), (2, 1), (4, 1), (5, 0)):
        assert is_allowed_CV[constraint, drawn.ids_R[row]]
        assert drawn.ids_R[row] % 2 == 1


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the interpreter's numpy tells of NaN
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_rows_that_are_not_finite_say_so(device, bad):
    draws = draws_of([SETTINGS["plain"], SETTINGS["both"]], 50, device)
    draws.logits_RV[2, 20] = bad
    draws.logits_RV[5] = -torch.inf
    assert assert_draws_alike(draws).is_finite_R.tolist() == [True, True, False, True, True, False]


def test_the_largest_number_draws_the_last_possible_id(device):
    from services.policy.engine.cuda.sampling import draw

    knobs = Knobs(np.ones(1, np.float32), np.full(1, 2**31 - 1), np.ones(1, np.float32))
    logits = torch.tensor([[0.0, 1.0, -torch.inf]], device=device)
    assert draw(Draws(logits, knobs, np.array([1 - 2.0**-52]))).ids_R.tolist() == [1]
