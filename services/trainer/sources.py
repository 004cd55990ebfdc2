"""Opens the task source that a recipe names."""

from typing import Literal

from services.common.dataset import JsonlSource, TaskSource, WorldSource
from services.trainer.recipe_sections import JsonlData, WorldData


def open_source(
    data: WorldData | JsonlData, seed: int, split: Literal["train", "heldout"] = "train"
) -> TaskSource:
    """Raises DatasetError for a file that cannot be used."""
    if isinstance(data, WorldData):
        return WorldSource(data.families, split, data.level, seed)
    return JsonlSource(data.path, split, seed)
