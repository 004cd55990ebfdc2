"""From per-token losses to one number, normalised over the whole update.

A micro-batch contributes its share: denominators are counted once over all micro-batches of the
update, with the same mask as the numerator, so how a batch is cut never changes the gradient.
Legend: B answers, T answer length.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from services.trainer.algorithms.names import Aggregation


@dataclass(frozen=True, slots=True)
class UpdateSize:
    """Of one optimiser update, over all its micro-batches: what is divided by."""

    num_tokens: int
    num_sequences: int

    @classmethod
    def of(cls, mask_BT: Tensor) -> "UpdateSize":
        return cls(int(mask_BT.sum()), int(mask_BT.any(dim=1).sum()))

    def __add__(self, other: "UpdateSize") -> "UpdateSize":
        return UpdateSize(
            self.num_tokens + other.num_tokens, self.num_sequences + other.num_sequences
        )


def aggregate(how: Aggregation, values_BT: Tensor, mask_BT: Tensor, size: UpdateSize) -> Tensor:
    """This micro-batch's share of the update's scalar.

    token_mean      Σ values / tokens: every token weighs the same (DAPO).
    sequence_mean   mean over tokens, then over answers: short answers weigh more per token (GRPO).
    sequence_sum    Σ over tokens, then the mean over answers (RLOO).
    """
    masked_BT = torch.where(mask_BT, values_BT, 0.0)
    if how == "token_mean":
        return masked_BT.sum() / max(1, size.num_tokens)
    sums_B = masked_BT.sum(dim=1)
    if how == "sequence_mean":
        sums_B = sums_B / mask_BT.sum(dim=1).clamp(min=1)
    return sums_B.sum() / max(1, size.num_sequences)
