"""F1 of words, as SQuAD scores answers (Rajpurkar et al. 2016), on bags of words."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from models.preprocessing.conversation import Text, Turn
from services.common.checks.exact import accepted_answers, normalised
from services.common.world.answers import CheckResult

_WORD = re.compile(r"\w+")


def check(reference: Mapping[str, Any], answer: Turn) -> CheckResult:
    """F1 against `reference["answer"]`, the best of several; `strict` where no word is wrong."""
    texts = [part.text for part in answer.parts if isinstance(part, Text)]
    given = words_of("".join(texts)) if len(texts) == len(answer.parts) else []
    score = max(f1(words_of(wanted), given) for wanted in accepted_answers(reference))
    return CheckResult(score, {"strict": float(score == 1.0)})


def words_of(text: Any) -> list[str]:
    """Words without case and punctuation."""
    return _WORD.findall(normalised(text))


def f1(wanted: list[str], given: list[str]) -> float:
    """Harmonic mean of precision and recall; 0 where no word is shared."""
    shared = sum((Counter(wanted) & Counter(given)).values())
    return 2 * shared / (len(wanted) + len(given)) if shared else 0.0
