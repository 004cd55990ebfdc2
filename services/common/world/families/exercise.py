"""What each family makes of a scene: a question with its answer and what a checker needs."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from services.common.world.answers import SceneReference, ThingReference
from services.common.world.language import phrases_of
from services.common.world.scenes import Relation, Scene

Family = Literal["caption", "vqa", "draw", "align"]
FAMILIES: tuple[Family, ...] = get_args(Family)


@dataclass(frozen=True, slots=True, eq=False)
class Exercise:
    """A prompt, its right answer (text or pixels [32, 32, 3], never both) and its reference."""

    prompt_text: str
    reference: BaseModel
    prompt_pixels: NDArray[np.uint8] | None = None
    target_text: str | None = None
    target_pixels: NDArray[np.uint8] | None = None


def reference_of(scene: Scene, relations: list[tuple[int, Relation, int]]) -> SceneReference:
    """The scene's things with the relations that matter to the family."""
    things = zip(phrases_of(scene), scene.things, strict=True)
    return SceneReference(
        things=tuple(ThingReference(phrase=phrase, box=thing.box) for phrase, thing in things),
        relations=tuple(relations),
    )
