"""What is asked in an evaluation: held-out items of the world, or rows of a user's task."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.cli.errors import UserError
from services.cli.runs.recipes import find_recipe
from services.common.dataset import JsonlSource, TaskItem, WorldSource
from services.common.world.families.exercise import ALL_FAMILIES, FAMILIES, Family
from services.common.world.sampling import Split

WORLD_FAMILIES: tuple[Family, ...] = FAMILIES


@dataclass(frozen=True, slots=True)
class ScorerChoice:
    """Who scores: a scorer by version or alias, or a function in a user's file."""

    version: str | None = None
    alias: str | None = None
    user_file: Path | None = None
    user_function: str = "score"


@dataclass(frozen=True, slots=True)
class EvaluationTask:
    """Items in families, and their scorer."""

    items: tuple[TaskItem, ...]
    scorer: ScorerChoice

    @property
    def families(self) -> tuple[str, ...]:
        """In order of appearance."""
        return tuple(dict.fromkeys(item.family for item in self.items))

    def of_family(self, family: str) -> list[TaskItem]:
        """The items of one family, in order."""
        return [item for item in self.items if item.family == family]


def world_task(
    families: Sequence[str],
    items_per_family: int,
    level: int,
    seed: int,
    split: Split = "heldout",
) -> EvaluationTask:
    """Items of the default world, scored by its checkers. Raises UserError."""
    unknown = [f for f in families if f not in ALL_FAMILIES]
    if unknown:
        raise UserError(
            f"there is no family {unknown[0]!r}", f"families: {', '.join(ALL_FAMILIES)}"
        )
    chosen = [f for f in ALL_FAMILIES if f in families]
    items: list[TaskItem] = []
    for family in chosen:
        items += WorldSource((family,), split, level, seed).take(0, items_per_family)
    return EvaluationTask(tuple(items), ScorerChoice(version="program/world"))


def recipe_task(recipe: str, max_items: int) -> EvaluationTask:
    """The held-out rows of a recipe's data file, scored as the recipe says."""
    found = find_recipe(recipe)
    data = found.values.get("data", {})
    if data.get("source") != "jsonl":
        raise UserError(f"{found.path} reads no data file", '`[data]` with `source = "jsonl"`')
    source = JsonlSource(found.folder / str(data["path"]), "heldout")
    items = tuple(source.items()[:max_items])
    return EvaluationTask(items, _scorer(found.values.get("reward", {}), found.folder))


def _scorer(reward: dict[str, Any], folder: Path) -> ScorerChoice:
    user = reward.get("user_scorer")
    if user:
        return ScorerChoice(
            user_file=(folder / str(user["file"])).absolute(),
            user_function=str(user.get("function", "score")),
        )
    if reward.get("version") or reward.get("alias"):
        return ScorerChoice(version=reward.get("version"), alias=reward.get("alias"))
    raise UserError("the recipe's [reward] names no version, alias or user_scorer to score with")
