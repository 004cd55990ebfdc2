"""What deploy/recipes/spoken_digits.toml says."""

from pydantic import Field

from services.cli.experiments.settings import TaskSettings


class SpokenDigitsSettings(TaskSettings):
    """The whole experiment."""

    speakers: tuple[str, ...] = Field((), description="left out in turn; empty: each of them")
    variants: int = Field(4, ge=0, description="of each recording that is trained on")
