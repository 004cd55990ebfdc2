"""Trains the VQ image tokenizer on the world's pictures; it is frozen afterwards.

Legend: N images, S side, T codes per image, K codebook size, E code width.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.image_tokenizer import ImageTokenizer, VqForward
from services.common.world.families.draw import check_pixels
from services.common.world.items import make_item
from services.trainer.pretraining.batches import DRAW, pictures, training_items
from services.trainer.pretraining.config import PretrainConfig
from services.trainer.pretraining.learning import linear_decay, set_learning_rate
from services.trainer.pretraining.pixels import to_model, to_pixels


class PictureCodesTrainer:
    """Steps 0 … `steps`-1 of the image tokenizer; its state is the model's and the optimiser's."""

    def __init__(self, config: PretrainConfig, vqmodel: ImageTokenizer) -> None:
        self.config = config
        self.vqmodel = vqmodel
        self.optimizer = torch.optim.AdamW(
            vqmodel.parameters(),
            lr=config.picture_codes.learning_rate,
            betas=(0.9, 0.95),
            weight_decay=0.0,
        )
        self.usage = _Usage(config.model.codebook_size)

    def step(self, step: int) -> dict[str, float]:
        """One update; returns its losses."""
        settings = self.config.picture_codes
        items = training_items(
            self.config.seed, settings.level_weights, step, (DRAW,) * settings.batch_size
        )
        images_N3SS = to_model(pictures(items))
        out: VqForward = self.vqmodel(images_N3SS)
        pixel_loss = F.l1_loss(out.images_N3SS, images_N3SS) + 4 * F.mse_loss(
            out.images_N3SS, images_N3SS
        )
        loss = pixel_loss + out.codebook_loss + settings.commitment * out.commitment_loss
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        factor = linear_decay(step, settings.steps)
        set_learning_rate(self.optimizer, settings.learning_rate * factor)
        self.optimizer.step()
        return {"pixel_loss": pixel_loss.item(), "revived": float(self._revive(step, out))}

    def _revive(self, step: int, out: VqForward) -> int:
        """Moves codes that no picture used since the last revival."""
        settings = self.config.picture_codes
        seen_K = self.usage.seen_K
        seen_K += torch.bincount(out.codes_NT.flatten(), minlength=len(seen_K))
        if (step + 1) % settings.revive_every:
            return 0
        is_dead_K = seen_K == 0
        seen_K.zero_()
        if step >= settings.revive_until * settings.steps:
            return 0
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + step)
        return self.vqmodel.quantize.revive(is_dead_K, out.unit_NTE.flatten(0, 1), generator)


class _Usage(nn.Module):
    """How often each code was used since the last revival; a buffer, so that runs resume."""

    seen_K: Tensor

    def __init__(self, codebook_size: int) -> None:
        super().__init__()
        self.register_buffer("seen_K", torch.zeros(codebook_size, dtype=torch.int64))


def round_trip_strict(vqmodel: ImageTokenizer, level: int, num_items: int) -> float:
    """Share of validation drawings that the checker still finds right after encode and decode."""
    items = [make_item("draw", "validation", i, level) for i in range(num_items)]
    decoded = to_pixels(vqmodel.decode(vqmodel.encode(to_model(pictures(items)))))
    results = [
        check_pixels(item.exercise.reference, pixels)  # type: ignore[arg-type]
        for item, pixels in zip(items, decoded, strict=True)
    ]
    return float(np.mean([result.subscores["strict"] for result in results]))
