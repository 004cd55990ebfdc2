"""The loss of the unified model, its optimiser and its schedule.

Legend: B batch, L length, T longest answer, N tiles or pictures, S side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.grammar import Grammar
from models.likelihood import completion_logprobs
from models.media import MediaTensors
from models.omni import OmniModel
from services.trainer.pretraining.batches import Batch
from services.trainer.pretraining.config import ModelStage
from services.trainer.pretraining.pixels import to_model


@dataclass(frozen=True, slots=True)
class FamilyLosses:
    """Mean negative log-probability per answer token of each family in a batch, in nats."""

    by_family: dict[str, Tensor]

    @property
    def total(self) -> Tensor:
        """Every family counts alike, however long its answers are."""
        return torch.stack(list(self.by_family.values())).sum()


def family_losses(model: OmniModel, grammar: Grammar, batch: Batch) -> FamilyLosses:
    """Supervised loss on answer tokens only, under the grammar that sampling obeys."""
    token_ids_BL = torch.from_numpy(batch.token_ids_BL)
    prompt_lengths_B = torch.from_numpy(batch.prompt_lengths_B)
    if len(batch.targets_NSS3):
        _put_codes(model, grammar, token_ids_BL, batch)
    features_FD = model.encode_media(MediaTensors.from_arrays(batch.media))
    scored = completion_logprobs(
        model,
        grammar,
        token_ids_BL,
        prompt_lengths_B,
        torch.from_numpy(batch.lengths_B),
        features_FD,
    )
    losses: dict[str, Tensor] = {}
    for family in dict.fromkeys(batch.families):
        rows_B = torch.tensor([name == family for name in batch.families])
        mask_BT = scored.mask_BT & rows_B[:, None]
        losses[family] = -(scored.logprobs_BT * mask_BT).sum() / mask_BT.sum()
    return FamilyLosses(losses)


def freeze_untrained(model: OmniModel) -> None:
    """The image tokenizer, which stays as it was trained, and the value head get no gradient."""
    for module in (*model.image_tokenizers, model.value_head):
        module.requires_grad_(False)


def build_optimizers(model: OmniModel, settings: ModelStage) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of all transformers, AdamW for the rest."""
    freeze_untrained(model)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    matrices = {name: p for name, p in trained.items() if ".layers." in name and p.ndim == 2}
    others = [p for name, p in trained.items() if name not in matrices]
    return [
        torch.optim.Muon(matrices.values(), lr=settings.muon_learning_rate, weight_decay=0.0),
        torch.optim.AdamW(
            others, lr=settings.learning_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True
        ),
    ]


def set_learning_rates(
    optimizers: Sequence[torch.optim.Optimizer], settings: ModelStage, factor: float
) -> None:
    """Of Muon and AdamW, in the order of `build_optimizers`."""
    rates = (settings.muon_learning_rate, settings.learning_rate)
    for optimizer, rate in zip(optimizers, rates, strict=True):
        set_learning_rate(optimizer, rate * factor)


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def schedule(step: int, settings: ModelStage, decay_from: int | None) -> float:
    """Factor of the learning rate: up, level, and from `decay_from` on a line to 0."""
    if decay_from is not None and step >= decay_from:
        return max(0.0, 1 - (step - decay_from) / settings.decay_steps)
    return min(1.0, (step + 1) / settings.warmup_steps)


def linear_decay(step: int, steps: int) -> float:
    """1 for the first half, then a line to 0."""
    return min(1.0, 2 * (1 - step / steps))


def update(
    model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], max_grad_norm: float
) -> float:
    """One step down the gradient; returns its norm before clipping."""
    trained = [p for p in model.parameters() if p.requires_grad]
    norm = nn.utils.clip_grad_norm_(trained, max_grad_norm)
    for optimizer in optimizers:
        optimizer.step()
    return float(norm)


def _put_codes(model: OmniModel, grammar: Grammar, token_ids_BL: Tensor, batch: Batch) -> None:
    """Writes the codes of the pictures to be drawn into the rows that have room for them."""
    codes_NT = model.vqmodel.encode(to_model(batch.targets_NSS3)) + grammar.vocab_size
    rows = [row for row, family in enumerate(batch.families) if family == "draw"]
    for row, codes_T in zip(rows, codes_NT, strict=True):
        start = int(batch.prompt_lengths_B[row])
        token_ids_BL[row, start : start + len(codes_T)] = codes_T
