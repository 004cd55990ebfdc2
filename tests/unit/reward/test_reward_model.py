"""The reward model in torch: pooling by hand, padding, attention, files."""

import json
from collections.abc import Callable

import pytest
import torch

from models.attention import DenseAttention
from models.checkpoint_error import CheckpointError
from models.reward import RewardModel, load_reward, save_reward
from models.reward_config import Calibration, read_reward_file
from tests.unit.reward.tiny_reward import CALIBRATION, make_preprocessor, make_reward

IDS_BL = torch.tensor([[1, 3, 20, 21, 22, 5], [1, 3, 30, 5, 0, 0]])
LENGTHS_B = torch.tensor([6, 4])
KINDS = [
    ("causal", "last"),
    ("causal", "mean"),
    ("bidirectional", "last"),
    ("bidirectional", "mean"),
]


@pytest.mark.parametrize(("attention", "pooling"), KINDS)
def test_padding_does_not_change_a_score(attention: str, pooling: str) -> None:
    model = make_reward(attention, pooling)
    rewards_BK, acceptability_B = model(IDS_BL, LENGTHS_B)
    alone_BK, alone_B = model(IDS_BL[1:, :4], LENGTHS_B[1:])
    torch.testing.assert_close(rewards_BK[1:], alone_BK, atol=1e-6, rtol=0)
    torch.testing.assert_close(acceptability_B[1:], alone_B, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("pooling", "pool"),
    [("last", lambda hidden_LD: hidden_LD[3]), ("mean", lambda hidden_LD: hidden_LD[:4].mean(0))],
)
def test_heads_read_the_pooled_tokens(
    pooling: str, pool: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    model = make_reward(pooling=pooling)
    hidden_BLD = model.trunk.decode(
        model.trunk.embed(IDS_BL[1:]), torch.arange(6)[None], DenseAttention()
    )
    pooled_D = pool(hidden_BLD[0])
    expected_K = model.reward_heads.weight @ pooled_D + model.reward_heads.bias
    rewards_BK, _ = model(IDS_BL[1:], LENGTHS_B[1:])
    torch.testing.assert_close(rewards_BK[0], expected_K, atol=1e-6, rtol=0)


def test_only_bidirectional_attention_lets_early_tokens_see_late_ones() -> None:
    late_BL = IDS_BL[:1].clone()
    late_BL[0, 4] = 40

    def first_hidden_D(model: RewardModel, ids_BL: torch.Tensor) -> torch.Tensor:
        attention = DenseAttention(LENGTHS_B[:1], model.config.attention == "causal")
        return model.trunk.decode(model.trunk.embed(ids_BL), torch.arange(6)[None], attention)[0, 0]

    causal, bidirectional = make_reward("causal"), make_reward("bidirectional")
    assert torch.equal(first_hidden_D(causal, IDS_BL[:1]), first_hidden_D(causal, late_BL))
    assert not torch.equal(
        first_hidden_D(bidirectional, IDS_BL[:1]), first_hidden_D(bidirectional, late_BL)
    )


def test_heads_start_apart_so_that_their_spread_says_something() -> None:
    rewards_BK, _ = make_reward(num_heads=4)(IDS_BL, LENGTHS_B)
    assert rewards_BK.shape == (2, 4)
    assert rewards_BK.std(1).min() > 0.01


def test_save_and_load_give_the_same_scores(tmp_path) -> None:
    model = make_reward("bidirectional", "mean", num_heads=3, seed=5)
    save_reward(tmp_path, model, make_preprocessor(), CALIBRATION)
    loaded = load_reward(tmp_path)
    assert loaded.calibration == CALIBRATION
    assert loaded.model.config == model.config
    assert loaded.preprocessor.fingerprint == make_preprocessor().fingerprint
    for given, expected in zip(
        loaded.model(IDS_BL, LENGTHS_B), model(IDS_BL, LENGTHS_B), strict=True
    ):
        assert torch.equal(given, expected)


def test_loading_draws_nothing_from_the_callers_random_stream(tmp_path) -> None:
    save_reward(tmp_path, make_reward(), make_preprocessor())
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    load_reward(tmp_path)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_missing_file_is_named(tmp_path, name: str) -> None:
    save_reward(tmp_path, make_reward(), make_preprocessor())
    (tmp_path / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        load_reward(tmp_path)


def test_a_wrong_number_of_heads_is_refused(tmp_path) -> None:
    save_reward(tmp_path, make_reward(num_heads=2), make_preprocessor())
    path = tmp_path / "config.json"
    content = json.loads(path.read_text())
    content["reward"]["num_heads"] = 3
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"reward_heads.weight has shape \(2, 32\)"):
        load_reward(tmp_path)


def test_an_unknown_field_of_the_configuration_is_named(tmp_path) -> None:
    save_reward(tmp_path, make_reward(), make_preprocessor())
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "colour": "red"}))
    with pytest.raises(ValueError, match="colour"):
        read_reward_file(path)


@pytest.mark.parametrize("std", [0.0, -1.0, float("nan"), float("inf")])
def test_a_calibration_that_cannot_divide_is_refused(std: float) -> None:
    with pytest.raises(ValueError, match="std"):
        Calibration(mean=0.0, std=std)
