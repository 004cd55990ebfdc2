"""Recipes: what a run is made of. TOML in, one frozen model per stage out, errors that name fields.

`read_recipe` is used by the orchestrator (before a run is queued), the worker and replay.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from services.trainer.pretraining.config import PretrainConfig
from services.trainer.recipe_sections import (
    AlgorithmSection,
    DataSection,
    HeldoutSection,
    HoldoutSection,
    JsonlData,
    ModelChoice,
    OptimizerSection,
    PairLossSection,
    PublishSection,
    RewardChoice,
    RewardShape,
    RolloutSection,
    Section,
    ShowSection,
    SnapshotData,
)
from services.trainer.toml_text import toml_text


class RecipeError(ValueError):
    """A recipe that cannot be run; the message names each field, its value and what is allowed."""


class _CommonFields(Section):
    """What every recipe says."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$", description="names its runs")
    seed: int = Field(0, ge=0, le=2**31)
    time_limit_s: float | None = Field(
        None, gt=0, description="ends the run cleanly after the step that passes it"
    )


class _TrainedFields(_CommonFields):
    """What every recipe says that starts from a policy."""

    initial: ModelChoice = ModelChoice(alias="base")
    steps: int = Field(ge=1, description="optimisation steps, each on new data")
    optimizer: OptimizerSection = OptimizerSection()
    checkpoint_every: int = Field(10, ge=1, description="steps")
    publish: PublishSection = PublishSection()


class PolicyRecipe(_TrainedFields):
    """Reinforcement learning: sample, score, learn, publish to run/ID."""

    stage: Literal["policy"]
    data: DataSection
    rollout: RolloutSection = RolloutSection()
    reward: RewardChoice
    algorithm: AlgorithmSection
    heldout: HeldoutSection | None = None
    show: ShowSection = ShowSection()

    @model_validator(mode="after")
    def _guidance_is_off(self) -> Self:
        scale = self.rollout.sampling.guidance_scale
        if scale != 1.0:
            raise ValueError(
                f"rollout.sampling.guidance_scale is {scale}; a policy is trained with 1 only,"
                " because the log-probabilities of guided tokens need a second forward pass that"
                " this trainer does not make (a policy trained without guidance is also best"
                " served without)"
            )
        return self


class SftRecipe(_TrainedFields):
    """Supervised training on right answers, or on the best of n sampled ones (the control)."""

    stage: Literal["sft"]
    data: DataSection
    targets: Literal["dataset", "best_of_n"] = "dataset"
    rollout: RolloutSection = RolloutSection()
    reward: RewardChoice | None = Field(None, description="best_of_n only")
    epochs_per_step: int = Field(1, ge=1)
    show: ShowSection = ShowSection()

    @model_validator(mode="after")
    def _best_of_n_has_a_reward(self) -> Self:
        if (self.targets == "best_of_n") != (self.reward is not None):
            raise ValueError(
                f"targets is {self.targets!r} and reward is {self.reward!r}; best_of_n needs a"
                " reward, dataset takes none"
            )
        return self


class RewardRecipe(_TrainedFields):
    """A reward model out of a feedback snapshot's pairs."""

    stage: Literal["reward"]
    data: SnapshotData
    model: RewardShape = RewardShape()
    loss: PairLossSection = PairLossSection()
    holdout: HoldoutSection = HoldoutSection()
    items_per_step: int = Field(32, ge=1, description="judged items, each with all its pairs")


class PretrainRecipe(_CommonFields):
    """A base policy from nothing; see services/trainer/pretraining."""

    stage: Literal["pretrain"]
    pretrain: PretrainConfig = PretrainConfig()
    publish: PublishSection = PublishSection()


Recipe = PolicyRecipe | SftRecipe | RewardRecipe | PretrainRecipe
_RECIPE: TypeAdapter[Recipe] = TypeAdapter(Annotated[Recipe, Field(discriminator="stage")])


def read_recipe(
    text: str, overrides: Mapping[str, str] | None = None, folder: Path | None = None
) -> Recipe:
    """Parses a recipe, applies "section.field" overrides, and makes its paths absolute.

    Relative paths start at `folder`. Raises RecipeError.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"the recipe is not valid TOML: {error}") from error
    for key, value in (overrides or {}).items():
        _override(values, key, value)
    try:
        recipe = _RECIPE.validate_python(values)
    except ValidationError as error:
        problems = "\n".join(f"  {_explain(dict(e))}" for e in error.errors())
        raise RecipeError(f"the recipe is not valid:\n{problems}") from error
    return _with_absolute_paths(recipe, folder or Path.cwd())


def recipe_text(recipe: Recipe) -> str:
    """The recipe as resolved, every default said, in a form that `read_recipe` reads."""
    return toml_text(recipe.model_dump(mode="json"))


def total_steps(recipe: Recipe) -> int:
    """Steps that the run is meant to take; 0 where its own plateau decides."""
    return 0 if isinstance(recipe, PretrainRecipe) else recipe.steps


def _override(values: dict[str, Any], key: str, value: str) -> None:
    *sections, field = key.split(".")
    table = values
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise RecipeError(f"override {key!r}: {section!r} is a field, not a section")
    table[field] = _toml_value(value)


def _toml_value(value: str) -> Any:
    """A bare word that TOML would refuse is taken as a string, as on a command line."""
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value


def _with_absolute_paths(recipe: Recipe, folder: Path) -> Recipe:
    if isinstance(recipe, PretrainRecipe | RewardRecipe):
        return recipe
    changes: dict[str, Any] = {}
    if isinstance(recipe.data, JsonlData):
        changes["data"] = recipe.data.model_copy(update={"path": folder / recipe.data.path})
    scorer = recipe.reward.user_scorer if recipe.reward else None
    if recipe.reward and scorer:
        absolute = scorer.model_copy(update={"file": folder / scorer.file})
        changes["reward"] = recipe.reward.model_copy(update={"user_scorer": absolute})
    return recipe.model_copy(update=changes)


def _explain(error: dict[str, Any]) -> str:
    field = ".".join(str(part) for part in error["loc"]) or "recipe"
    if error["type"] == "extra_forbidden":
        return f"{field}: there is no such field (got {error['input']!r})"
    if error["type"] == "missing":
        return f"{field}: this field is required"
    if error["type"].startswith("union_tag"):
        return f"{field}: {error['msg']}"
    return f"{field}: {error['msg']} (got {error['input']!r})"
