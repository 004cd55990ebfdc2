"""The compiled draw against engine/sampler.py, its definition in torch."""

import numpy as np
import pytest
import torch

from services.policy.engine import sampler
from services.policy.engine.native.packed import Crew
from services.policy.engine.native.sampler import draw
from services.policy.engine.sampler import Draws, Knobs, resolve_knobs

NUM_ROWS = 400


def knobs_of(*settings):
    columns = zip(*(resolve_knobs(*each) for each in settings), strict=True)
    types = (np.float32, np.int64, np.float32)
    return Knobs(*(np.array(c, t) for c, t in zip(columns, types, strict=True)))


def logits_and_uniforms(num_ids, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits_RV = 3 * torch.randn(NUM_ROWS, num_ids, generator=generator)
    return logits_RV, np.random.default_rng(seed).random(NUM_ROWS)


@pytest.mark.parametrize("num_ids", [1, 7, 64, 300, 4099])
@pytest.mark.parametrize(
    "setting",
    [(1.0, None, 1.0), (0.7, None, 1.0), (0.0, None, 1.0), (1.0, 5, 1.0), (1.3, None, 0.6)],
    ids=["plain", "cold", "greedy", "top k", "top p"],
)
def test_the_same_ids_and_logprobs_as_the_definition(num_ids, setting):
    logits_RV, uniform_R = logits_and_uniforms(num_ids)
    knobs = knobs_of(*[setting] * NUM_ROWS)
    draws = Draws(logits_RV, knobs, uniform_R, keep_logprobs=True)
    wanted, got = sampler.draw(draws), draw(draws, Crew(2))
    is_same = got.ids_R == wanted.ids_R  # a sum rounded otherwise may tip a draw on a border
    assert is_same.mean() > 0.995
    np.testing.assert_allclose(got.logprobs_R[is_same], wanted.logprobs_R[is_same], atol=2e-6)
    np.testing.assert_allclose(got.kept_mass_R, wanted.kept_mass_R, atol=2e-6)
    assert got.is_finite_R.all()
    torch.testing.assert_close(got.logprobs_RV, wanted.logprobs_RV, atol=2e-6, rtol=1e-6)
    for row, ids in wanted.supports.items():
        assert np.array_equal(got.supports[row], ids)


def test_settings_may_differ_by_row_and_rows_do_not_depend_on_each_other():
    logits_RV, uniform_R = logits_and_uniforms(300)
    kinds = [(1.0, None, 1.0), (0.5, 20, 0.9), (0.0, None, 1.0), (1.2, None, 0.5)]
    knobs = knobs_of(*[kinds[row % 4] for row in range(NUM_ROWS)])
    together = draw(Draws(logits_RV, knobs, uniform_R), Crew(2))
    for row in range(0, NUM_ROWS, 7):
        one = knobs_of(kinds[row % 4])
        alone = draw(Draws(logits_RV[row : row + 1], one, uniform_R[row : row + 1]), Crew(1))
        assert alone.ids_R[0] == together.ids_R[row]
        assert alone.logprobs_R[0] == together.logprobs_R[row]
        assert alone.kept_mass_R[0] == together.kept_mass_R[row]


def test_draws_follow_the_distribution():
    logits_V = torch.tensor([0.0, 1.0, -1.0, -torch.inf, 2.0])
    uniform_R = (np.arange(20_000) + 0.5) / 20_000
    knobs = knobs_of(*[(1.0, None, 1.0)] * len(uniform_R))
    drawn = draw(Draws(logits_V.expand(len(uniform_R), -1), knobs, uniform_R), Crew(2))
    shares = np.bincount(drawn.ids_R, minlength=5) / len(uniform_R)
    np.testing.assert_allclose(shares, logits_V.softmax(-1).numpy(), atol=1e-4)


def test_forbidden_ids_are_never_drawn():
    logits_RV, uniform_R = logits_and_uniforms(50)
    bias_BV = torch.zeros(2, 50)
    bias_BV[1, ::2] = -torch.inf
    bias_of_R = np.arange(NUM_ROWS) % 2
    knobs = knobs_of(*[(1.0, None, 1.0)] * NUM_ROWS)
    draws = Draws(logits_RV, knobs, uniform_R, bias_BV, bias_of_R)
    drawn, wanted = draw(draws, Crew(1)), sampler.draw(draws)
    assert np.array_equal(drawn.ids_R, wanted.ids_R)
    assert (drawn.ids_R[1::2] % 2 == 1).all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_row_that_is_not_finite_says_so_and_spoils_no_other(bad):
    logits_RV, uniform_R = logits_and_uniforms(50)
    logits_RV[3, 20] = bad
    logits_RV[5] = -torch.inf
    knobs = knobs_of(*[(1.0, None, 1.0)] * NUM_ROWS)
    drawn = draw(Draws(logits_RV, knobs, uniform_R), Crew(1))
    assert np.flatnonzero(~drawn.is_finite_R).tolist() == [3, 5]


@pytest.mark.parametrize("setting", [(1.0, None, 1.0), (0.0, None, 1.0), (1.0, 9, 0.8)])
def test_constrained_rows_draw_from_what_is_allowed(setting):
    logits_RV, uniform_R = logits_and_uniforms(60)
    is_allowed_CV = np.random.default_rng(1).random((3, 60)) < 0.3
    constraint_of_R = np.arange(NUM_ROWS) % 4 - 1
    knobs = knobs_of(*[setting] * NUM_ROWS)
    draws = Draws(
        logits_RV, knobs, uniform_R, is_allowed_CV=is_allowed_CV, constraint_of_R=constraint_of_R
    )
    drawn, wanted = draw(draws, Crew(2)), sampler.draw(draws)
    assert (drawn.ids_R == wanted.ids_R).mean() > 0.99
    np.testing.assert_allclose(drawn.kept_mass_R, wanted.kept_mass_R, atol=2e-6)
    for row in np.flatnonzero(constraint_of_R >= 0):
        support = drawn.supports[row]
        assert drawn.ids_R[row] in support
        assert is_allowed_CV[constraint_of_R[row], support].all()
        probs = logits_RV[row].softmax(-1).numpy()
        expected = np.log(probs[drawn.ids_R[row]] / probs[support].sum())
        if setting[0]:
            assert drawn.logprobs_R[row] == pytest.approx(expected, abs=1e-5)
