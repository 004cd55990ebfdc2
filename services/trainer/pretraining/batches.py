"""Training batches as plain arrays: pure functions of the configuration and the step.

That makes a run resumable without any random state. Batches are made in line: the world makes
thousands of pictures a second, and of what is spoken, which takes longest, some 300.
Legend: B batch, L padded length, N pictures, S side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from models.preprocessing.media_arrays import MediaArrays
from models.preprocessing.prompt import Preprocessor, without_content
from models.preprocessing.special_tokens import SpecialTokens
from services.common.world.families.exercise import Exercise, Family
from services.common.world.families.vqa import AnswerReference
from services.common.world.items import WorldItem, make_item

DRAW: Family = "draw"

# Families whose sequences are of like length, so that little of a batch is padding.
_BATCHED: tuple[tuple[Family, ...], ...] = (
    ("caption", "vqa", "align"),
    ("draw",),
    ("speech", "transcribe"),
    ("video",),
    ("dialogue",),
)
# About how long an item takes to learn from, relative to a caption.
_COST: dict[Family, float] = {"speech": 1.2, "transcribe": 0.8, "video": 1.5, "dialogue": 3.5}

_NUM_OTHERS = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Sequences, padded on the right. Answers of `draw` are padding until codes replace it."""

    families: tuple[Family, ...]
    token_ids_BL: NDArray[np.int64]
    prompt_lengths_B: NDArray[np.int64]
    lengths_B: NDArray[np.int64]
    media: MediaArrays
    targets_NSS3: NDArray[np.uint8]


def batches_of(
    items_per_step: Mapping[Family, int], rank: int, processes: int
) -> list[tuple[Family, ...]]:
    """The families of each batch of a step that process `rank` computes."""
    batches = []
    for families in _BATCHED:
        counts = {family: items_per_step.get(family, 0) for family in families}
        mixed = [f for i in range(max(counts.values())) for f in families if i < counts[f]]
        batches.append(tuple(mixed))
    loads, shares = [0.0] * processes, [[] for _ in range(processes)]  # type: ignore[var-annotated]
    for batch in sorted(filter(None, batches), key=_cost, reverse=True):
        lightest = loads.index(min(loads))
        loads[lightest] += _cost(batch)
        shares[lightest].append(batch)
    return shares[rank]


def _cost(families: Sequence[Family]) -> float:
    return sum(_COST.get(family, 1.0) for family in families)


def training_items(
    seed: int,
    level_weights: Sequence[float],
    step: int,
    families: Sequence[Family],
    wrong_answers: float = 0.0,
    family_levels: Mapping[Family, Sequence[float]] = MappingProxyType({}),
) -> list[WorldItem]:
    """One new item for each family named; items never repeat between steps.

    A share `wrong_answers` of them have the answer to another scene, as pairs from the web do.
    """
    rng = Random(f"{seed}-{step}")
    levels = [_level(rng, family_levels.get(family, level_weights)) for family in families]
    items = []
    for slot, (family, level) in enumerate(zip(families, levels, strict=True)):
        item = make_item(family, "train", step * len(families) + slot, level, seed)
        is_wrong = rng.random() < wrong_answers
        items.append(with_wrong_answer(item, level, rng) if is_wrong else item)
    return items


def _level(rng: Random, weights: Sequence[float]) -> int:
    return rng.choices(range(1, len(weights) + 1), weights)[0]


def with_wrong_answer(item: WorldItem, level: int, rng: Random) -> WorldItem:
    """The item, with the right answer to another one of the same kind."""
    while True:
        index = rng.randrange(_NUM_OTHERS)
        other = make_item(item.family, "train", index, level).exercise
        if _kind(other) == _kind(item.exercise) and not _same_answer(other, item.exercise):
            wrong = replace(
                item.exercise, target_text=other.target_text, target_pixels=other.target_pixels
            )
            return replace(item, exercise=wrong)


def _kind(exercise: Exercise) -> str:
    """Of question; the other families have one kind each."""
    reference = exercise.reference
    return reference.kind if isinstance(reference, AnswerReference) else ""


def _same_answer(first: Exercise, second: Exercise) -> bool:
    if first.target_pixels is None or second.target_pixels is None:
        return first.target_text == second.target_text
    return np.array_equal(first.target_pixels, second.target_pixels)


def pictures(items: Sequence[WorldItem]) -> NDArray[np.uint8]:
    """uint8 [B, S, S, 3]: the picture of each item, asked about or to be drawn."""
    chosen = [i.target_pixels if i.prompt_pixels is None else i.prompt_pixels for i in items]
    return np.stack([pixels for pixels in chosen if pixels is not None])


def collate(preprocessor: Preprocessor, items: Sequence[WorldItem], codes_per_image: int) -> Batch:
    """Encodes prompts and answers; an answer that is a picture gets room for its codes."""
    special = preprocessor.tokenizer.special
    prompts, answers = [], []
    for item in items:
        is_draw = item.target_pixels is not None
        encoded = preprocessor.encode(item.conversation, begin_image=is_draw)
        prompts.append(encoded)
        if is_draw:
            assert special.end_of_image is not None
            answers.append([special.pad] * codes_per_image + [special.end_of_image, special.end])
        else:
            answers.append([*preprocessor.tokenizer.encode(item.target_text or ""), special.end])
    prompt_lengths = [len(prompt.token_ids) for prompt in prompts]
    lengths = [n + len(answer) for n, answer in zip(prompt_lengths, answers, strict=True)]
    token_ids_BL = np.full((len(items), max(lengths)), special.pad, dtype=np.int64)
    for row, prompt, answer in zip(token_ids_BL, prompts, answers, strict=True):
        row[: len(prompt.token_ids)] = prompt.token_ids
        row[len(prompt.token_ids) : len(prompt.token_ids) + len(answer)] = answer
    targets = [item.target_pixels for item in items if item.target_pixels is not None]
    media = MediaArrays.concatenate([prompt.media for prompt in prompts])
    return Batch(
        families=tuple(item.family for item in items),
        token_ids_BL=token_ids_BL,
        prompt_lengths_B=np.asarray(prompt_lengths),
        lengths_B=np.asarray(lengths),
        media=media,
        targets_NSS3=np.stack(targets) if targets else media.tiles_NSS3[:0],
    )


def blank_prompts(batch: Batch, special: SpecialTokens, share: float, seed: str) -> None:
    """Blanks each prompt with chance `share`, in place (Ho and Salimans 2022, Algorithm 1).

    So the model learns the unconditional distribution that guidance subtracts.
    """
    rng = Random(seed)
    for row_L, length in zip(batch.token_ids_BL, batch.prompt_lengths_B, strict=True):
        if rng.random() < share:
            row_L[:length] = without_content(row_L[:length], special)
