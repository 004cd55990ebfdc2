"""The losses of one step, and their gradient: all of it, or the share of one process."""

import torch

from models.checkpoint import Checkpoint
from services.trainer.pretraining.batches import (
    DRAW,
    batches_of,
    blank_prompts,
    collate,
    training_items,
)
from services.trainer.pretraining.config import PretrainConfig
from services.trainer.pretraining.learning import family_losses


class StepLosses:
    """Computes what process `rank` of a run owes to each step."""

    def __init__(self, config: PretrainConfig, checkpoint: Checkpoint, rank: int = 0) -> None:
        self._config = config
        self._checkpoint = checkpoint
        self._rank = rank

    def backward(self, step: int, wrong_answers: float) -> dict[str, float]:
        """Sets the gradient of the summed family losses; returns these by family."""
        config, checkpoint = self._config, self._checkpoint
        checkpoint.model.zero_grad(set_to_none=True)
        losses: dict[str, float] = {}
        for families in batches_of(config.mixture(step), self._rank, config.processes):
            items = training_items(
                config.seed,
                config.level_weights,
                step,
                families,
                wrong_answers,
                config.family_levels,
            )
            batch = collate(checkpoint.preprocessor, items, checkpoint.model.config.codes_per_image)
            if DRAW in families:
                special = checkpoint.preprocessor.tokenizer.special
                share = config.training.blank_prompts
                blank_prompts(batch, special, share, f"{config.seed}-{step}")
            found = family_losses(checkpoint.model, checkpoint.grammar, batch)
            torch.autograd.backward(found.total)
            losses.update({family: loss.item() for family, loss in found.by_family.items()})
        return losses
