"""How the rewards of several scorers become one."""

import statistics
from collections.abc import Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.common.blending import BlendAggregation


class BlendRule(BaseModel):
    """An ensemble's `min` and `mean_minus_std` withhold what its members disagree on (Coste et al.
    2023, worst-case and uncertainty-weighted optimisation, the latter with the deviation in the
    place of the variance, so that it has the reward's unit)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    aggregation: BlendAggregation = "sum"
    std_weight: float = Field(0.0, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _std_weight_is_used(self) -> Self:
        if self.std_weight and self.aggregation != "mean_minus_std":
            raise ValueError(f"std_weight is for mean_minus_std, not for {self.aggregation}")
        return self

    def reward(self, weighted: Sequence[float]) -> float:
        """Of the terms' rewards times their weights."""
        if self.aggregation == "sum":
            return sum(weighted)
        if self.aggregation == "min":
            return min(weighted)
        return statistics.fmean(weighted) - self.std_weight * (deviation(weighted) or 0.0)


def deviation(rewards: Sequence[float]) -> float | None:
    """The sample standard deviation; None of a single one."""
    return statistics.stdev(rewards) if len(rewards) > 1 else None
