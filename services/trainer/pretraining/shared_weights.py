"""A model's parameters, and gradients of helping processes, in a file that they all map.

A process that attaches its model reads parameters as another one updates them, with no copy.
"""

from pathlib import Path

import torch
from torch import Tensor, nn


class SharedWeights:
    """Of models of one shape. The file holds float32: all parameters, then each helper's gradient.

    Helpers are counted from 1.
    """

    def __init__(self, path: Path, model: nn.Module, num_helpers: int) -> None:
        """Maps `path`, made if need be, and moves nothing into it yet."""
        self._parameters = list(model.parameters())
        size = sum(p.numel() for p in self._parameters) * (1 + num_helpers)
        mapped = torch.from_file(str(path), shared=True, size=size, dtype=torch.float32)
        self._values, *self._gradients = map(self._views, mapped.chunk(1 + num_helpers))

    def publish(self) -> None:
        """Moves the model's parameters into the file; from then on they live there."""
        with torch.no_grad():
            for parameter, value in zip(self._parameters, self._values, strict=True):
                value.copy_(parameter)
        self.attach()

    def attach(self) -> None:
        """Lets the model's parameters be those of the file."""
        for parameter, value in zip(self._parameters, self._values, strict=True):
            parameter.data = value

    def write_gradient(self, helper: int) -> None:
        """The model's gradient into the file; none is zero."""
        for parameter, shared in zip(self._parameters, self._gradients[helper - 1], strict=True):
            shared.zero_() if parameter.grad is None else shared.copy_(parameter.grad)

    def add_gradient(self, helper: int) -> None:
        """A helper's gradient to the model's own."""
        for parameter, shared in zip(self._parameters, self._gradients[helper - 1], strict=True):
            if parameter.requires_grad:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                parameter.grad += shared

    def _views(self, flat: Tensor) -> list[Tensor]:
        pieces = torch.split(flat, [p.numel() for p in self._parameters])
        return [v.view_as(p) for v, p in zip(pieces, self._parameters, strict=True)]
