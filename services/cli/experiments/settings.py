"""Sections that the recipes of several experiments share. Times are budgets in seconds."""

from typing import Literal

from pydantic import Field

from services.cli.experiments.stages import Section


class RunSettings(Section):
    """One run: its recipe, and how long it may take."""

    recipe: str
    budget_s: float = Field(gt=0)
    steps: int | None = Field(None, ge=1, description="in place of the recipe's")

    @property
    def overrides(self) -> dict[str, str]:
        """The budget, as the recipe's time limit."""
        return {"time_limit_s": str(self.budget_s), **self.step_overrides}

    @property
    def step_overrides(self) -> dict[str, str]:
        """The steps, where they are said."""
        return {} if self.steps is None else {"steps": str(self.steps)}


class JudgingSettings(Section):
    """How a policy's own answers are judged in pairs by simulated raters."""

    samples_per_item: int = Field(4, ge=2)
    pairs_per_item: int = Field(4, ge=1)
    raters: int = Field(5, ge=1)
    repeat_share: float = Field(0.1, ge=0, le=1, description="pairs that a second rater judges")
    budget_s: float = Field(60, gt=0)
    judging_budget_s: float = Field(30, gt=0)


class TaskJudgingSettings(JudgingSettings):
    """The same, of rows of a task file."""

    items: int = Field(400, ge=1, description="training rows")
    check_items: int = Field(100, ge=1, description="held-out rows, judged and not trained on")


class TaskSettings(Section):
    """An experiment on task files: a short supervised start, then RL.

    How long a run takes is its recipe's steps, so that a slow machine comes to the same figures;
    `budget_s` says what is expected of two quiet cores.
    """

    seed: int = Field(0, ge=0)
    initial: str = "base"
    heldout_items: int | None = Field(None, ge=1, description="of each part; all, if not said")
    reward: Literal["program", "judgements"] = Field(
        "program", description="what RL runs against: the program, or a model of judged pairs"
    )
    import_budget_s: float = Field(30, gt=0)
    evaluation_budget_s: float = Field(20, gt=0, description="of one part")
    start: RunSettings
    policy: RunSettings
    judging: TaskJudgingSettings = TaskJudgingSettings()
    reward_model: RunSettings
    judged_policy: RunSettings
