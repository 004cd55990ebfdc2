"""The base of configuration sections: frozen, and nothing unknown is taken."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One part of a configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")
