"""The base of configuration sections: frozen, and nothing unknown is taken."""

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """One part of a configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CodedPictures(Section):
    """Pictures as a square of codes: the side is halved between resolutions."""

    image_size: int = Field(ge=1, description="pixels")
    channels: tuple[int, ...] = Field(description="per resolution; halved between")

    @property
    def grid(self) -> int:
        return self.image_size >> (len(self.channels) - 1)

    @property
    def codes_per_image(self) -> int:
        return self.grid**2
