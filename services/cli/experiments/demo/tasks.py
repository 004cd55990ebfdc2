"""What the demo's policy answers to be judged."""

from services.cli.evaluation.tasks import EvaluationTask, world_task
from services.cli.experiments.demo.settings import DemoSettings
from services.common.world.sampling import Split


def tasks_to_judge(settings: DemoSettings) -> dict[str, EvaluationTask]:
    """By split of the feedback log. Neither has scenes of the held-out measure in it."""
    sizes: dict[str, tuple[Split, int]] = {
        "train": ("train", settings.collection.items_per_family),
        "check": ("validation", settings.collection.check_items_per_family),
    }
    return {
        split: world_task(settings.families, size, settings.level, settings.seed, world_split)
        for split, (world_split, size) in sizes.items()
    }
