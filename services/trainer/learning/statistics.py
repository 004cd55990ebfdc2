"""What a step measures of itself while it learns; becomes the run's metrics."""

from collections import defaultdict

import torch
from torch import Tensor


class StepStatistics:
    """Collects values per token, and gives their mean, maximum and upper percentiles."""

    def __init__(self) -> None:
        self._values: defaultdict[str, list[Tensor]] = defaultdict(list)

    def add(self, name: str, values_BT: Tensor, mask_BT: Tensor) -> None:
        """Takes the values inside the mask."""
        self._values[name].append(values_BT.detach()[mask_BT].float())

    def mean(self, name: str) -> dict[str, float]:
        """{name: mean}, or nothing if no value came."""
        values = self._joined(name)
        return {name: float(values.mean())} if len(values) else {}

    def spread(self, name: str) -> dict[str, float]:
        """{name_max, name_p99, name_p999}, or nothing if no value came."""
        values = self._joined(name)
        if not len(values):
            return {}
        quantiles = {
            f"{name}_{suffix}": float(values.kthvalue(max(1, round(share * len(values)))).values)
            for suffix, share in (("p99", 0.99), ("p999", 0.999))
        }
        return {f"{name}_max": float(values.max()), **quantiles}

    def _joined(self, name: str) -> Tensor:
        return torch.cat([torch.zeros(0), *self._values[name]])
