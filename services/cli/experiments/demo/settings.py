"""What deploy/recipes/demo.toml says. Times are budgets in seconds."""

from typing import Self

from pydantic import Field

from services.cli.evaluation.tasks import WORLD_FAMILIES
from services.cli.experiments.settings import JudgingSettings, RunSettings
from services.cli.experiments.stages import Section
from services.common.world.families.exercise import Family
from services.common.world.sampling import DEFAULT_LEVEL, LEVELS


class EvaluationSettings(Section):
    """The held-out measure."""

    items_per_family: int = Field(300, ge=10)
    budget_s: float = Field(30, gt=0, description="of one policy's evaluation")


class CollectionSettings(JudgingSettings):
    """What is answered and judged; world items of the split `train`, and `validation` to check."""

    items_per_family: int = Field(250, ge=1)
    check_items_per_family: int = Field(60, ge=1, description="not in the snapshot")


class DemoSettings(Section):
    """The whole demo."""

    seed: int = Field(0, ge=0)
    initial: str = "base"
    families: tuple[Family, ...] = WORLD_FAMILIES
    level: int = Field(DEFAULT_LEVEL, ge=min(LEVELS), le=max(LEVELS))
    evaluation: EvaluationSettings = EvaluationSettings()
    collection: CollectionSettings = CollectionSettings()
    reward: RunSettings
    policy: RunSettings
    control: RunSettings

    def scaled_to(self, minutes: float) -> Self:
        """Run budgets stretched or shrunk so that the whole takes about so many minutes."""
        runs = ("reward", "policy", "control")
        fixed_s = self.total_budget_s - sum(getattr(self, name).budget_s for name in runs)
        scale = (60 * minutes - fixed_s) / (self.total_budget_s - fixed_s)
        if scale <= 0:
            raise ValueError(
                f"--minutes {minutes:g}: evaluation and judging alone take {fixed_s / 60:.1f}"
            )
        stretched = {
            name: run.model_copy(update={"budget_s": round(run.budget_s * scale, 1)})
            for name in runs
            for run in [getattr(self, name)]
        }
        return self.model_copy(update=stretched)

    @property
    def total_budget_s(self) -> float:
        """Of all stages; three policies are evaluated."""
        runs_s = self.reward.budget_s + self.policy.budget_s + self.control.budget_s
        judged_s = self.collection.budget_s + self.collection.judging_budget_s
        return runs_s + judged_s + 3 * self.evaluation.budget_s
