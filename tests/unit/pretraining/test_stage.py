import json
import math
from pathlib import Path

import psutil
import pytest
import torch
from pydantic import ValidationError

from models.checkpoint import load
from models.omni import OmniModel
from services.trainer.pretraining.config import PretrainConfig
from services.trainer.pretraining.learning import schedule
from services.trainer.pretraining.stage import is_plateau, pretrain
from services.trainer.pretraining.state import read_progress

RECIPE = Path(__file__).parents[3] / "deploy/recipes/pretrain.toml"


class Killed(Exception):
    pass


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def ignore(step: int, metrics: dict[str, float]) -> None:
    pass


def kill_at(wanted: str, at: int):
    """A report that ends the run when a metric arrives with a step of at least `at`."""

    def report(step: int, metrics: dict[str, float]) -> None:
        if wanted in metrics and step >= at:
            raise Killed

    return report


def test_two_runs_of_one_recipe_give_the_same_bytes(config: PretrainConfig, tmp_path) -> None:
    first = pretrain(config, tmp_path / "first", ignore)
    assert weights(first) == weights(pretrain(config, tmp_path / "second", ignore))


@pytest.mark.parametrize(
    ("metric", "at"), [("pixel_loss", 50), ("round_trip_strict", 0), ("loss", 6), ("loss", 9)]
)
def test_a_killed_run_continues_to_the_same_bytes(
    config: PretrainConfig, tmp_path, metric: str, at: int
) -> None:
    whole = pretrain(config, tmp_path / "whole", ignore)
    with pytest.raises(Killed):
        pretrain(config, tmp_path / "killed", kill_at(metric, at))
    assert read_progress(tmp_path / "killed") is not None
    assert weights(pretrain(config, tmp_path / "killed", ignore)) == weights(whole)


def test_two_processes_learn_what_one_does(config: PretrainConfig, tmp_path) -> None:
    """To the last bits: sums are taken in another order."""
    alone = load(pretrain(config, tmp_path / "one", ignore)).model
    two = config.model_copy(update={"processes": 2})
    shared = load(pretrain(two, tmp_path / "two", ignore)).model
    fresh = OmniModel(config.model, config.seed)
    moved = distance(alone, fresh)
    assert moved > 0.1
    assert distance(alone, shared) < 1e-3 * moved
    assert weights(tmp_path / "two" / "latest") == weights(pretrain(two, tmp_path / "3", ignore))


def test_a_process_that_dies_ends_the_run_with_its_state_kept(config, tmp_path) -> None:
    two = config.model_copy(update={"processes": 2})

    def kill_the_helper(step: int, metrics: dict[str, float]) -> None:
        if "loss" in metrics and step >= 6:
            children = psutil.Process().children()
            [helper] = [c for c in children if any("gradient_worker" in w for w in c.cmdline())]
            helper.kill()

    with pytest.raises(RuntimeError, match="has ended or hangs"):
        pretrain(two, tmp_path, kill_the_helper)
    progress = read_progress(tmp_path)
    assert progress is not None
    assert progress.model_steps == 4


def distance(first: OmniModel, second: OmniModel) -> float:
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def test_a_run_ends_with_a_checkpoint_its_curve_and_its_recipe(
    config: PretrainConfig, tmp_path
) -> None:
    folder = pretrain(config, tmp_path, ignore)
    figures = json.loads((folder / "training.json").read_text())
    assert load(folder).model.config == config.model
    assert figures["recipe_digest"] == config.digest
    assert figures["decay_from"] == 7
    assert [point["step"] for point in figures["curve"]] == [3, 6, 9]


def test_a_finished_run_is_not_trained_further(config: PretrainConfig, tmp_path) -> None:
    before = weights(pretrain(config, tmp_path, ignore))
    assert weights(pretrain(config, tmp_path, ignore)) == before


def test_the_folder_of_another_recipe_is_refused(config: PretrainConfig, tmp_path) -> None:
    pretrain(config, tmp_path, ignore)
    other = config.model_copy(update={"seed": 1})
    with pytest.raises(ValueError, match="was begun by recipe"):
        pretrain(other, tmp_path, ignore)


def test_a_corpus_too_small_for_the_vocabulary_is_refused(config, tmp_path) -> None:
    decoder = config.model.decoder.model_copy(update={"vocab_size": 301})
    model = config.model.model_copy(update={"decoder": decoder})
    with pytest.raises(ValueError, match="the corpus gave 300 ids"):
        pretrain(config.model_copy(update={"model": model}), tmp_path, ignore)


def test_the_rate_warms_up_stays_and_falls_to_nothing(config: PretrainConfig) -> None:
    rates = [schedule(step, config.training, decay_from=7) for step in range(12)]
    assert rates == [0.5, 1, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0]
    assert schedule(1000, config.training, decay_from=None) == 1


def test_a_plateau_is_no_progress_over_the_patience() -> None:
    assert not is_plateau([3, 2, 1], patience=3, delta=0.01)
    assert not is_plateau([3, 2, 2.1, 1.9], patience=2, delta=0.01)
    assert is_plateau([3, 2, 2.1, 1.99], patience=2, delta=0.01)


def test_the_shipped_recipe_is_valid() -> None:
    config = PretrainConfig.from_toml(RECIPE)
    assert math.isclose(sum(config.level_weights), 1)
    assert len(config.digest) == 16


def test_an_unknown_field_of_a_recipe_is_named(tmp_path) -> None:
    (tmp_path / "recipe.toml").write_text("[pretrain.training]\nlearning_rat = 1.0\n")
    with pytest.raises(ValidationError, match="learning_rat"):
        PretrainConfig.from_toml(tmp_path / "recipe.toml")


def test_pretraining_leaves_the_global_random_state_out(config, tmp_path) -> None:
    torch.manual_seed(1)
    first = weights(pretrain(config, tmp_path / "first", ignore))
    torch.manual_seed(2)
    assert weights(pretrain(config, tmp_path / "second", ignore)) == first
