"""The same answer, or not."""

import json
import unicodedata
from collections.abc import Mapping
from typing import Any

from models.preprocessing.conversation import Text, Turn
from services.common.world.answers import CheckResult, InvalidReference

_EDGES = " \t\n.,;:!?\"'"


def check(reference: Mapping[str, Any], answer: Turn) -> CheckResult:
    """1 if the answer's text is `reference["answer"]` (or one of them), else 0.

    Compared without case, surrounding punctuation and repeated spaces.
    """
    accepted = {normalised(one) for one in accepted_answers(reference)}
    texts = [part.text for part in answer.parts if isinstance(part, Text)]
    is_text = len(texts) == len(answer.parts)
    return CheckResult(float(is_text and normalised("".join(texts)) in accepted))


def accepted_answers(reference: Mapping[str, Any]) -> list[Any]:
    """What the reference accepts. Raises InvalidReference where it says nothing of it."""
    if "answer" not in reference:
        raise InvalidReference('the reference has no "answer" to compare with')
    wanted = reference["answer"]
    return wanted if isinstance(wanted, list) else [wanted]


def normalised(answer: Any) -> str:
    """An answer as it is compared."""
    text = answer if isinstance(answer, str) else json.dumps(answer)
    words = unicodedata.normalize("NFKC", text).casefold().split()
    return " ".join(words).strip(_EDGES)
