"""What deploy/recipes/drawing_videos.toml says."""

from pydantic import Field

from services.cli.experiments.settings import TaskSettings


class DrawingVideosSettings(TaskSettings):
    """The whole experiment."""

    folds: int = Field(5, ge=2, le=30, description="over the characters")
    run_folds: int | None = Field(None, ge=1, description="how many of them; all, if not said")
    control_folds: int = Field(1, ge=0, description="of each control")
    variants: int = Field(16, ge=1, description="of each drawing that is trained on")
