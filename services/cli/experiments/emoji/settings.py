"""What deploy/recipes/emoji.toml says."""

from typing import Literal

from pydantic import Field

from services.cli.experiments.settings import TaskSettings

EmojiTask = Literal["caption", "draw"]


class EmojiSettings(TaskSettings):
    """The whole experiment."""

    tasks: tuple[EmojiTask, ...] = Field(("caption", "draw"), min_length=1)
    heldout_share: float = Field(0.25, gt=0, lt=1, description="of the subgroups")
