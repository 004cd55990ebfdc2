"""What deploy/recipes/nlvr.toml says. Times are budgets in seconds."""

from pydantic import Field

from services.cli.experiments.settings import RunSettings
from services.cli.experiments.stages import Section


class NlvrSettings(Section):
    """The whole experiment."""

    seed: int = Field(0, ge=0)
    initial: str = "base"
    heldout_share: float = Field(0.25, gt=0, lt=1, description="of the sentences")
    renderings: int = Field(6, ge=1, le=6, description="of each training picture, in the task file")
    import_budget_s: float = Field(30, gt=0)
    evaluation_budget_s: float = Field(15, gt=0)
    reward: RunSettings
    start: RunSettings
    policy: RunSettings
