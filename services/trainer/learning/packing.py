"""Groups as padded tensors, one row per group: the prompt once, then all of its answers.

A row is [prompt L | answer 1 of T-1 | … | answer G of T-1]: the last token of an answer predicts
nothing and is not fed. Prompts with their media are computed once for G answers.
Legend: P groups, L padded prompt length, G answers per group, T padded answer length, B = P·G.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.grammar import Grammar, Kind
from models.media import MediaTensors
from models.preprocessing.media_arrays import MediaArrays
from services.trainer.learning.groups import Answer, PromptGroup


@dataclass(frozen=True, slots=True, eq=False)
class PackedGroups:
    """CPU tensors: int64 ids, bool mask, media of all prompts.

    `mask_BT` is true on tokens that were chosen: not on padding, nor on those that the grammar
    forced. `supports` is empty, or one entry per token as [B][T] (see `Answer.supports`).
    """

    prompt_ids_PL: Tensor
    prompt_lengths_P: Tensor
    answer_ids_PGT: Tensor
    mask_BT: Tensor
    sampler_logprobs_BT: Tensor
    media: MediaTensors
    supports: tuple[tuple[Tensor | None, ...], ...]


def pack(groups: Sequence[PromptGroup], grammar: Grammar) -> PackedGroups:
    """Pads to the longest prompt, the longest answer and the most answers among `groups`."""
    pad_id, num_answers = grammar.special.pad, max(len(group.answers) for group in groups)
    nothing = Answer(np.zeros(0, np.int64), np.zeros(0, np.float32))
    answers = [a for g in groups for a in _filled(g.answers, num_answers, nothing)]
    prompt_ids_PL = _padded([g.prompt_ids_L for g in groups], pad_id, np.int64)
    answer_ids_BT = _padded([a.token_ids_T for a in answers], pad_id, np.int64)
    lengths_B = torch.tensor([len(a.token_ids_T) for a in answers])
    media = MediaArrays.concatenate([group.media for group in groups])
    is_answer_BT = torch.arange(answer_ids_BT.shape[1]) < lengths_B[:, None]
    is_truncated = any(answer.supports for answer in answers)
    return PackedGroups(
        prompt_ids_PL=prompt_ids_PL,
        prompt_lengths_P=torch.tensor([len(g.prompt_ids_L) for g in groups]),
        answer_ids_PGT=answer_ids_BT.view(len(groups), num_answers, -1),
        mask_BT=is_answer_BT & (grammar.kinds(answer_ids_BT) != Kind.END_OF_IMAGE),
        sampler_logprobs_BT=_padded([a.sampler_logprobs_T for a in answers], 0, np.float32),
        media=MediaTensors.from_arrays(media),
        supports=tuple(_supports(a) for a in answers) if is_truncated else (),
    )


def row_tokens(group: PromptGroup) -> int:
    """Length of the row that a group makes."""
    return len(group.prompt_ids_L) + len(group.answers) * (group.longest_answer - 1)


def _filled(answers: tuple[Answer, ...], size: int, filler: Answer) -> list[Answer]:
    return [*answers, *[filler] * (size - len(answers))]


def _padded(rows: Sequence[np.ndarray], fill: int, dtype: type[np.generic]) -> Tensor:
    padded = np.full((len(rows), max(map(len, rows))), fill, dtype)
    for target, row in zip(padded, rows, strict=True):
        target[: len(row)] = row
    return torch.from_numpy(padded)


def _supports(answer: Answer) -> tuple[Tensor | None, ...]:
    return tuple(None if ids is None else torch.from_numpy(ids) for ids in answer.supports)
