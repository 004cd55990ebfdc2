"""What all checkers share: the result, the reference they check against, and reading an answer.

A wrong or unreadable answer scores 0. An answer that arrived broken and a reference that is not
valid raise, for a failure is never a number.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, model_validator

from models.preprocessing.conversation import Picture, Text, TokenIds, Turn
from models.preprocessing.images import decode_picture
from models.preprocessing.media_error import MediaError
from services.common.world.language import Phrase
from services.common.world.scenes import PICTURE_PX, Box, Relation


class WorldError(ValueError):
    """A caller's mistake, which must not become a score."""


class InvalidReference(WorldError):
    """The reference is not one that the family's checker can use."""


class InvalidAnswer(WorldError):
    """The answer did not arrive whole: a picture that cannot be decoded, tokens not yet decoded."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A score from 0 to 1 and what it was made of; `strict` is always among the subscores."""

    score: float
    subscores: dict[str, float] = field(default_factory=dict)


class ThingReference(BaseModel):
    """One thing as it is, or as it was asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    phrase: Phrase
    box: Box

    @model_validator(mode="after")
    def _box_is_within_the_picture(self) -> "ThingReference":
        left, top, right, bottom = self.box
        if not (0 <= left < right <= PICTURE_PX and 0 <= top < bottom <= PICTURE_PX):
            raise ValueError(f"box is {self.box}; expected left < right and top < bottom in 0..32")
        return self


class SceneReference(BaseModel):
    """The things of a scene and relations between them, by index."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    things: tuple[ThingReference, ...]
    relations: tuple[tuple[int, Relation, int], ...]

    @model_validator(mode="after")
    def _things_are_told_apart(self) -> "SceneReference":
        colors = {thing.phrase.color for thing in self.things}
        if not self.things or len(colors) != len(self.things):
            raise ValueError("things must be one or more, of distinct colors")
        if len({thing.phrase.size is None for thing in self.things}) > 1:
            raise ValueError("sizes must be told of all things or of none")
        indices = range(len(self.things))
        if any(i == j or i not in indices or j not in indices for i, _, j in self.relations):
            raise ValueError(f"relations must join two different things of {list(indices)}")
        return self


def f1(num_right: int, num_stated: int, num_wanted: int) -> float:
    """The harmonic mean of precision and recall."""
    return 2 * num_right / (num_stated + num_wanted)


def text_of(answer: Turn) -> str | None:
    """The words of an answer that is text alone, else None."""
    _refuse_tokens(answer)
    texts = [part.text for part in answer.parts if isinstance(part, Text)]
    return "".join(texts) if texts and len(texts) == len(answer.parts) else None


def pixels_of(answer: Turn) -> NDArray[np.uint8] | None:
    """The pixels [32, 32, 3], resized to them, of an answer's one picture, else None."""
    _refuse_tokens(answer)
    pictures = [part for part in answer.parts if isinstance(part, Picture)]
    if len(pictures) != 1:
        return None
    try:
        picture = decode_picture(pictures[0].data)
    except MediaError as error:
        raise InvalidAnswer(f"the answer's picture cannot be decoded: {error}") from error
    return np.asarray(picture.resize((PICTURE_PX, PICTURE_PX), Image.Resampling.BOX))


def _refuse_tokens(answer: Turn) -> None:
    if any(isinstance(part, TokenIds) for part in answer.parts):
        raise InvalidAnswer("the answer holds token ids; decode them to text and pictures first")
