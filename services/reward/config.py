"""What the reward service can be told; a model's own configuration is models/reward_config.py."""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from services.common.config import DecodingConfig


class RewardConfig(DecodingConfig):
    """Read from `[reward]`, ATTUNE_REWARD_* and the command line."""

    model_config = SettingsConfigDict(env_prefix="ATTUNE_REWARD_")

    port: int = Field(7002, ge=0, le=65535, description="gRPC port; 0 takes a free one")
    metrics_port: int = Field(7102, ge=0, le=65535, description="Prometheus port; 0: a free one")
    batch_rows: int = Field(64, ge=1, description="a batch closes at this many rows")
    batch_tokens: int = Field(8192, ge=1, description="or at this many tokens, padding included")
    batch_delay_ms: float = Field(
        1.0, ge=0, description="or when its oldest row has waited so long"
    )
    queue_rows: int = Field(16384, ge=1, description="items that a scorer admits at one time")
    known_scores: int = Field(
        32768, ge=0, description="scores that each reward model keeps by content; 0 keeps none"
    )
    canary_s: float = Field(
        60.0, ge=0, description="fixed items are scored again so often; 0 never does"
    )
    max_resident: int = Field(
        8, ge=1, description="resident reward models; the least used that nothing names makes place"
    )
    user_scorer_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description=f"folders whose files may be run as scorers, separated by {os.pathsep!r}"
    )
    user_item_s: float = Field(
        10.0, gt=0, description="what a user's scorer may take for an item, if it says nothing else"
    )
    user_item_max_s: float = Field(300.0, gt=0, description="the most that it may ask for")
    user_start_s: float = Field(30.0, gt=0, description="what a user's scorer may take to load")
    user_backoff_s: float = Field(1.0, gt=0, description="longest pause before it starts again")

    @field_validator("user_scorer_roots", mode="before")
    @classmethod
    def _split_roots(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        # A flag that is given twice arrives joined by a comma.
        return [part for part in value.replace(",", os.pathsep).split(os.pathsep) if part]
