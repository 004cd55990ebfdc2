"""AdamW (Loshchilov & Hutter 2019) with clipping and a schedule that depends on the step alone."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from services.trainer.recipe_sections import OptimizerSection

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class Optimizer:
    """Of the parameters that want a gradient, by name. Weight decay spares vectors."""

    def __init__(
        self, parameters: Mapping[str, nn.Parameter], section: OptimizerSection, total_steps: int
    ) -> None:
        self._section = section
        self._total_steps = total_steps
        self._parameters = {n: p for n, p in parameters.items() if p.requires_grad}
        decayed = [p for p in self._parameters.values() if p.dim() > 1]
        others = [p for p in self._parameters.values() if p.dim() <= 1]
        self._adam = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": section.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=section.learning_rate,
            betas=section.betas,
            eps=section.eps,
        )

    def learning_rate(self, step: int) -> float:
        """Of step 1, 2, …; linear warm-up, then constant or linear to zero after the last step."""
        section = self._section
        rate = section.learning_rate * min(1.0, step / max(1, section.warmup_steps))
        if section.decay == "linear":
            rate *= max(0.0, (self._total_steps - step + 1) / self._total_steps)
        return rate

    def step(self, step: int) -> float:
        """Applies and clears the gradients; returns their norm before clipping."""
        norm = nn.utils.clip_grad_norm_(
            self._parameters.values(), self._section.max_grad_norm, error_if_nonfinite=True
        )
        for group in self._adam.param_groups:
            group["lr"] = self.learning_rate(step)
        self._adam.step()
        self._adam.zero_grad()
        return float(norm)

    def tensors(self) -> dict[str, Tensor]:
        """The state by "NAME/exp_avg" and so on, for a checkpoint."""
        return {
            f"{name}/{moment}": self._adam.state[parameter][moment]
            for name, parameter in self._parameters.items()
            if parameter in self._adam.state
            for moment in _MOMENTS
        }

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `tensors`."""
        for name, parameter in self._parameters.items():
            if f"{name}/step" in tensors:
                self._adam.state[parameter] = {m: tensors[f"{name}/{m}"].clone() for m in _MOMENTS}


def freeze(*modules: nn.Module) -> None:
    """Keeps parts as they are."""
    for module in modules:
        for parameter in module.parameters():
            parameter.requires_grad_(False)
