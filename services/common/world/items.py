"""World items: an exercise of a family with an id, as conversations or as plain text and pixels.

Pre-training reads `prompt_text`, `prompt_pixels`, `target_text` and `target_pixels`; services read
`conversation` and `target`, whose pictures, sound and clips are made and encoded as PNG, WAV and
GIF when first asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.preprocessing.conversation import Conversation, Role, Turn
from services.common.world.families import (
    align,
    caption,
    dialogue,
    draw,
    speech,
    transcribe,
    video,
    vqa,
)
from services.common.world.families.exercise import Exercise, Family
from services.common.world.media import encoded
from services.common.world.sampling import DEFAULT_LEVEL, SceneSource, Split

_COMPOSE: dict[Family, Callable[[SceneSource], Exercise]] = {
    "caption": caption.compose,
    "vqa": vqa.compose,
    "draw": draw.compose,
    "align": align.compose,
    "speech": speech.compose,
    "video": video.compose,
    "dialogue": dialogue.compose,
    "transcribe": transcribe.compose,
}


@dataclass(frozen=True, eq=False)
class WorldItem:
    """One exercise; its id says all that it was made from."""

    item_id: str
    family: Family
    split: Split
    exercise: Exercise

    @property
    def prompt_text(self) -> str:
        """The written words of the prompt, a line for each text."""
        return self.exercise.prompt_text

    @property
    def prompt_pixels(self) -> NDArray[np.uint8] | None:
        """The first picture [32, 32, 3] of the prompt, if any."""
        return self.exercise.prompt_pixels

    @property
    def target_text(self) -> str | None:
        """The right answer, where it is text."""
        return self.exercise.target_text

    @property
    def target_pixels(self) -> NDArray[np.uint8] | None:
        """The right answer [32, 32, 3], where it is a picture."""
        return self.exercise.target_pixels

    @cached_property
    def conversation(self) -> Conversation:
        """The prompt: one or more turns, the last of them the user's."""
        return tuple(
            Turn(turn.role, tuple(map(encoded, turn.contents))) for turn in self.exercise.prompt
        )

    @cached_property
    def target(self) -> Turn:
        """What supervised training imitates; one right answer of possibly many."""
        contents = (self.target_pixels, self.target_text)
        parts = tuple(encoded(content) for content in contents if content is not None)
        return Turn(Role.ASSISTANT, parts)

    @cached_property
    def reference(self) -> dict[str, Any]:
        """All that the checker needs, as JSON."""
        return self.exercise.reference.model_dump(mode="json")


def make_item(
    family: Family, split: Split, index: int, level: int = DEFAULT_LEVEL, seed: int = 0
) -> WorldItem:
    """The item of these five, always the same. Raises ValueError for an unknown one of them."""
    if family not in _COMPOSE:
        raise ValueError(f"family is {family!r}; choose one of {', '.join(_COMPOSE)}")
    item_id = f"{family}-{split}-level{level}-seed{seed}-{index}"
    scenes = SceneSource(Random(item_id), level, split)
    return WorldItem(item_id, family, split, _COMPOSE[family](scenes))
