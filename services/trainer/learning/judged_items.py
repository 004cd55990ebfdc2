"""Judged answers as token ids, and padded batches of them.

Legend: B sequences, L padded length, M pairs, A judged answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.media import MediaTensors
from models.preprocessing.encoded_prompt import EncodedPrompt
from models.preprocessing.media_arrays import MediaArrays


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """Two candidates of an item by index. `left` is +1 if the first was shown on the left, -1 if
    the second was, 0 if nobody knows. `outcome` is davidson's FIRST, TIE or SECOND."""

    first: int
    second: int
    outcome: int
    left: int


@dataclass(frozen=True, slots=True)
class JudgedAnswer:
    """Whether somebody found a candidate acceptable at all."""

    candidate: int
    is_acceptable: bool


@dataclass(frozen=True, slots=True, eq=False)
class JudgedItem:
    """A prompt with each of its candidate answers, and what was said of them."""

    group_key: str
    sequences: tuple[EncodedPrompt, ...]
    pairs: tuple[JudgedPair, ...]
    answers: tuple[JudgedAnswer, ...]

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return max(len(sequence.token_ids) for sequence in self.sequences)


@dataclass(frozen=True, slots=True, eq=False)
class JudgedBatch:
    """CPU tensors of several items; pairs and answers index into the B sequences."""

    token_ids_BL: Tensor
    lengths_B: Tensor
    media: MediaTensors
    first_M: Tensor
    second_M: Tensor
    outcome_M: Tensor
    left_M: Tensor
    judged_A: Tensor
    is_acceptable_A: Tensor


def judged_batch(items: Sequence[JudgedItem], pad_id: int) -> JudgedBatch:
    """Pads to the longest sequence."""
    starts = np.cumsum([0, *(len(item.sequences) for item in items)])
    sequences = [sequence for item in items for sequence in item.sequences]
    pairs = [
        (int(start), pair)
        for start, item in zip(starts, items, strict=False)
        for pair in item.pairs
    ]
    answers = [
        (int(start), a) for start, item in zip(starts, items, strict=False) for a in item.answers
    ]
    lengths = [len(sequence.token_ids) for sequence in sequences]
    token_ids_BL = np.full((len(sequences), max(lengths)), pad_id, np.int64)
    for row, sequence in zip(token_ids_BL, sequences, strict=True):
        row[: len(sequence.token_ids)] = sequence.token_ids
    media = MediaArrays.concatenate([sequence.media for sequence in sequences])
    return JudgedBatch(
        token_ids_BL=torch.from_numpy(token_ids_BL),
        lengths_B=torch.tensor(lengths),
        media=MediaTensors.from_arrays(media),
        first_M=torch.tensor([start + pair.first for start, pair in pairs], dtype=torch.long),
        second_M=torch.tensor([start + pair.second for start, pair in pairs], dtype=torch.long),
        outcome_M=torch.tensor([pair.outcome for _, pair in pairs], dtype=torch.long),
        left_M=torch.tensor([float(pair.left) for _, pair in pairs]),
        judged_A=torch.tensor([start + a.candidate for start, a in answers], dtype=torch.long),
        is_acceptable_A=torch.tensor([float(a.is_acceptable) for _, a in answers]),
    )


def cut_by_tokens(items: Sequence[JudgedItem], max_tokens: int) -> list[list[JudgedItem]]:
    """Micro-batches of similar length with at most `max_tokens` padded tokens (or one item)."""
    cut: list[list[JudgedItem]] = []
    for item in sorted(items, key=lambda item: item.longest):
        num_sequences = len(item.sequences) + sum(len(i.sequences) for i in cut[-1]) if cut else 0
        if cut and num_sequences * item.longest <= max_tokens:
            cut[-1].append(item)
        else:
            cut.append([item])
    return cut
