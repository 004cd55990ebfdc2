"""vqa: a question about a picture, with one short answer.

Kinds of questions come equally often, and so do the answers of kinds that have few.
"""

from pydantic import BaseModel, ConfigDict, Field

from models.preprocessing.conversation import Turn
from services.common.world.answers import CheckResult, text_of
from services.common.world.drawing import draw_scene
from services.common.world.families.exercise import Exercise, user
from services.common.world.language import MAX_ANSWER_CHARS, normalized
from services.common.world.questions import ask
from services.common.world.sampling import SceneSource

PROMPTS = ("{}", "answer the question: {}", "look and answer: {}")

_ARTICLES = ("a", "an", "the")
_NUMBER_WORDS = {"one": "1", "two": "2", "three": "3", "four": "4"}


class AnswerReference(BaseModel):
    """The right answer, and the kind of question for reports."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    answer: str = Field(min_length=1)


def compose(scenes: SceneSource) -> Exercise:
    """A picture and a question about it."""
    asked = ask(scenes)
    question = scenes.rng.choice(PROMPTS).format(asked.question)
    return Exercise(
        prompt=(user(draw_scene(asked.scene), question),),
        target_text=asked.answer,
        reference=AnswerReference(kind=asked.kind, answer=asked.answer),
    )


def check_answer(reference: AnswerReference, answer: Turn) -> CheckResult:
    """1 for the right words, else 0; case, articles and a full stop do not matter."""
    text = text_of(answer)
    if text is None or len(text) > MAX_ANSWER_CHARS:
        return CheckResult(0.0, {"strict": 0.0})
    score = float(_plain(text) == _plain(reference.answer))
    return CheckResult(score, {"strict": score})


def _plain(text: str) -> list[str]:
    words = normalized(text).split()
    return [_NUMBER_WORDS.get(word, word) for word in words if word not in _ARTICLES]
