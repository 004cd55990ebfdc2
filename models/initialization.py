"""Fan-in initialisation.

Every matrix gets std 1/sqrt(fan-in) (embeddings: `embedding_std`). Measured on the default world:
std 0.02 leaves vision tasks near chance in the time that fan-in solves them.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


class Undrawn(TorchFunctionMode):
    """Within this context torch.nn.init does nothing: what is built is about to be loaded.

    Parameters that nobody wrote to take no memory, and 125 M of them 2 s less. Buffers are as ever.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if getattr(func, "__module__", None) == nn.init.__name__:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def init_fan_in(module: nn.Module, generator: torch.Generator) -> None:
    """Initialises every linear, convolution and embedding below `module`; biases to zero."""
    for child in module.modules():
        if isinstance(child, (nn.Linear, nn.Conv1d, nn.Conv2d)):
            fan_in = child.weight[0].numel()
            nn.init.normal_(child.weight, std=1 / math.sqrt(fan_in), generator=generator)
            if child.bias is not None:
                nn.init.zeros_(child.bias)
        elif isinstance(child, nn.Embedding):
            nn.init.normal_(child.weight, std=1.0, generator=generator)


def scale_residual_outputs(outputs: list[nn.Linear], num_layers: int) -> None:
    """Divides what is added to the residual stream by sqrt(2 layers) (GPT-2)."""
    with torch.no_grad():
        for output in outputs:
            output.weight.div_(math.sqrt(2 * num_layers))
