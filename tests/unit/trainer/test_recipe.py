"""Recipes: what is read, what is refused and how it is said, and the resolved text."""

import subprocess
import sys
from pathlib import Path

import pytest

from services.common.world.families.exercise import FAMILIES
from services.trainer.recipe import (
    PolicyRecipe,
    RecipeError,
    RewardRecipe,
    SftRecipe,
    read_recipe,
    recipe_text,
    total_steps,
)
from services.trainer.toml_text import toml_text

RECIPES = Path(__file__).parents[3] / "deploy" / "recipes"
POLICY = """
name = "demo"
stage = "policy"
steps = 10
[data]
source = "world"
[reward]
version = "program/world"
[algorithm]
name = "grpo"
"""


def test_defaults_are_on_policy_deterministic_and_untruncated():
    recipe = read_recipe(POLICY)
    assert isinstance(recipe, PolicyRecipe)
    assert recipe.rollout.deterministic
    assert recipe.rollout.sampling.temperature == 1
    assert (recipe.rollout.sampling.top_p, recipe.rollout.sampling.top_k) == (1, 0)
    assert recipe.data.families == FAMILIES
    assert recipe.initial.alias == "base"
    assert total_steps(recipe) == 10


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_is_read_and_written_again(path):
    text = path.read_text()
    if "\nexperiment" in text or text.startswith("experiment"):
        pytest.skip("an experiment, which the command line drives")
    recipe = read_recipe(text, folder=RECIPES)
    assert read_recipe(recipe_text(recipe)) == recipe


def test_overrides_take_toml_values_and_bare_words():
    recipe = read_recipe(
        POLICY,
        {
            "steps": "3",
            "rollout.sampling.temperature": "0.5",
            "data.families": '["draw", "vqa"]',
            "algorithm.name": "rloo",
            "optimizer.learning_rate": "1e-4",
        },
    )
    assert isinstance(recipe, PolicyRecipe)
    assert (recipe.steps, recipe.rollout.sampling.temperature) == (3, 0.5)
    assert recipe.data.families == ("draw", "vqa")
    assert recipe.algorithm.name == "rloo"
    assert recipe.optimizer.learning_rate == 1e-4


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"stage": "polish"}, "'policy', 'sft', 'reward', 'pretrain'"),
        ({"optimizer.lr": "1"}, "policy.optimizer.lr: there is no such field (got 1)"),
        ({"steps": "-1"}, "policy.steps: Input should be greater than or equal to 1 (got -1)"),
        ({"steps.more": "1"}, "override 'steps.more': 'steps' is a field, not a section"),
        ({"name": "No Good"}, "policy.name: String should match pattern"),
        ({"data.families": '["paint"]'}, "'caption', 'vqa', 'draw', 'align', 'speech'"),
        ({"data.split": "heldout"}, "policy.data.world.split: Input should be 'train'"),
        ({"reward.alias": "mine"}, "name exactly one of alias, version, user_scorer, blend"),
        ({"initial.version": "policy-1"}, None),
        ({"rollout.samples_per_prompt": "1"}, "greater than or equal to 2"),
        ({"rollout.sampling.guidance_scale": "5"}, "a policy is trained with 1 only"),
        ({"algorithm.kl.placement": "loss_k1"}, "'none', 'reward_k1', 'loss_k2' or 'loss_rho_k3'"),
        ({"algorithm.kl.placement": "loss_k2"}, "a placement needs a positive coefficient"),
        (
            {"algorithm.old_logprobs": "sampler", "algorithm.importance_cap": "2"},
            'old_logprobs must be "learner"',
        ),
    ],
)
def test_a_wrong_field_is_named_with_its_value_and_what_is_allowed(overrides, said):
    if said is None:
        assert isinstance(read_recipe(POLICY, overrides), PolicyRecipe)
        return
    with pytest.raises(RecipeError) as refused:
        read_recipe(POLICY, overrides)
    assert said in str(refused.value)


def test_text_that_is_not_toml_is_refused():
    with pytest.raises(RecipeError, match="not valid TOML"):
        read_recipe("name = ")


def test_paths_start_at_the_recipes_folder(tmp_path):
    recipe = read_recipe(
        POLICY.replace('source = "world"', 'source = "jsonl"\npath = "data.jsonl"').replace(
            'version = "program/world"', 'user_scorer = { file = "mine.py" }'
        ),
        folder=tmp_path,
    )
    assert recipe.data.path == tmp_path / "data.jsonl"
    assert recipe.reward.user_scorer.file == tmp_path / "mine.py"
    assert read_recipe(recipe_text(recipe), folder=Path("/elsewhere")) == recipe


def test_best_of_n_needs_a_reward_and_right_answers_take_none():
    text = 'name = "s"\nstage = "sft"\nsteps = 1\n[data]\nsource = "world"\n'
    assert isinstance(read_recipe(text), SftRecipe)
    with pytest.raises(RecipeError, match="best_of_n needs a reward"):
        read_recipe(text, {"targets": "best_of_n"})
    with pytest.raises(RecipeError, match="dataset takes none"):
        read_recipe(text, {"reward.alias": "mine"})


def test_a_reward_recipe_reads_a_snapshot():
    text = 'name = "r"\nstage = "reward"\nsteps = 1\n'
    recipe = read_recipe(text, {"data.source": "feedback", "data.snapshot_id": "s-1"})
    assert isinstance(recipe, RewardRecipe)
    assert recipe.data.snapshot_id == "s-1"


def test_toml_text_writes_what_toml_reads():
    import tomllib

    values = {
        "flag": True,
        "text": 'a "quoted"\nline',
        "numbers": [1, 2.5],
        "nothing": None,
        "section": {"deep": {"value": 1e-4}, "empty": {}},
        "tables": [{"a": 1, "b": "x"}],
    }
    expected = {k: v for k, v in values.items() if v is not None}
    expected["section"] = {"deep": {"value": 1e-4}}
    assert tomllib.loads(toml_text(values)) == expected


def test_the_service_reads_recipes_without_torch():
    code = "import services.trainer.service, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
