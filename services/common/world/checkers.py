"""Judges an answer of any family by its reference: the entry for rewards, evaluation and raters."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from models.preprocessing.conversation import Turn
from services.common.world.answers import CheckResult, InvalidReference, SceneReference
from services.common.world.families import align, caption, draw, transcribe, vqa

Reference = TypeVar("Reference", bound=BaseModel)


def check(family: str, reference: Mapping[str, Any], answer: Turn) -> CheckResult:
    """The score of an answer, 0 to 1.

    What the policy can do wrong scores 0. Raises ValueError for an unknown family, InvalidReference
    and InvalidAnswer for what did not arrive whole.
    """
    if family not in _CHECKERS:
        raise ValueError(f"family is {family!r}; choose one of {', '.join(_CHECKERS)}")
    return _CHECKERS[family](reference, answer)


def _checker(
    schema: type[Reference], check_answer: Callable[[Reference, Turn], CheckResult]
) -> Callable[[Mapping[str, Any], Turn], CheckResult]:
    def check_validated(reference: Mapping[str, Any], answer: Turn) -> CheckResult:
        try:
            valid = schema.model_validate(reference)
        except ValidationError as error:
            raise InvalidReference(f"the reference is not valid: {error}") from error
        return check_answer(valid, answer)

    return check_validated


_check_short_answer = _checker(vqa.AnswerReference, vqa.check_answer)

_CHECKERS = {
    "caption": _checker(SceneReference, caption.check_answer),
    "vqa": _check_short_answer,
    "draw": _checker(SceneReference, draw.check_answer),
    "align": _checker(SceneReference, align.check_answer),
    "speech": _check_short_answer,
    "video": _check_short_answer,
    "dialogue": _check_short_answer,
    "transcribe": _checker(transcribe.TranscriptReference, transcribe.check_answer),
}
