"""What each family makes of a scene: a question with its answer and what a checker needs."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from models.preprocessing.conversation import Role
from services.common.world.answers import SceneReference, ThingReference
from services.common.world.language import phrases_of
from services.common.world.media import Content, Speech
from services.common.world.scenes import Relation, Scene

Family = Literal["caption", "vqa", "draw", "align", "speech", "video", "dialogue", "transcribe"]
ALL_FAMILIES: tuple[Family, ...] = get_args(Family)
FAMILIES: tuple[Family, ...] = ALL_FAMILIES[:6]  # that are asked where none are named


@dataclass(frozen=True, slots=True, eq=False)
class PromptTurn:
    """What one side says and shows, in order; pixels are [32, 32, 3]."""

    role: Role
    contents: tuple[Content, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Exercise:
    """A prompt, its right answer (text or pixels [32, 32, 3], never both) and its reference."""

    prompt: tuple[PromptTurn, ...]
    reference: BaseModel
    target_text: str | None = None
    target_pixels: NDArray[np.uint8] | None = None

    @property
    def prompt_text(self) -> str:
        """All words that are written in the prompt, a line for each text."""
        return "\n".join(content for content in self._contents() if isinstance(content, str))

    @property
    def prompt_pixels(self) -> NDArray[np.uint8] | None:
        """The first picture of the prompt, if any."""
        pictures = (content for content in self._contents() if isinstance(content, np.ndarray))
        return next(pictures, None)

    @property
    def spoken(self) -> str | None:
        """All words that are heard in the prompt, a line for each recording, if any."""
        heard = [content.words for content in self._contents() if isinstance(content, Speech)]
        return "\n".join(heard) if heard else None

    def _contents(self) -> list[Content]:
        return [content for turn in self.prompt for content in turn.contents]


def user(*contents: Content) -> PromptTurn:
    """A turn of the user's."""
    return PromptTurn(Role.USER, contents)


def assistant(text: str) -> PromptTurn:
    """A turn of the assistant's, which is words."""
    return PromptTurn(Role.ASSISTANT, (text,))


def reference_of(scene: Scene, relations: list[tuple[int, Relation, int]]) -> SceneReference:
    """The scene's things with the relations that matter to the family."""
    things = zip(phrases_of(scene), scene.things, strict=True)
    return SceneReference(
        things=tuple(ThingReference(phrase=phrase, box=thing.box) for phrase, thing in things),
        relations=tuple(relations),
    )
