"""Opens the task source that a recipe names."""

from services.common.dataset import JsonlSource, TaskSource, WorldSource
from services.trainer.recipe_sections import JsonlData, WorldData


def open_source(data: WorldData | JsonlData, seed: int) -> TaskSource:
    """Raises DatasetError for a file that cannot be used."""
    if isinstance(data, WorldData):
        return WorldSource(data.families, data.split, data.level, seed)
    return JsonlSource(data.path, data.split, seed)
