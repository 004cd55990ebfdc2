"""vqa: a question about a picture, with one short answer.

Kinds of questions come equally often, and so do the answers of kinds that have few.
"""

from pydantic import BaseModel, ConfigDict, Field

from models.preprocessing.conversation import Turn
from services.common.world.answers import CheckResult, text_of
from services.common.world.drawing import draw_scene
from services.common.world.families.exercise import Exercise
from services.common.world.language import MAX_ANSWER_CHARS, normalized
from services.common.world.questions import question_kinds
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
    rng = scenes.rng
    kinds = question_kinds(scenes.level)
    name = rng.choice(list(kinds))
    kind = kinds[name]
    wanted = rng.choice(kind.answers) if kind.answers else ""
    counts = range(kind.min_count, scenes.level.max_count + 1)
    while True:
        scene = scenes.next(rng.choice(counts))
        asked = kind.make(scene, rng, wanted)
        if asked is not None:
            break
    question, answer = asked
    return Exercise(
        prompt_text=rng.choice(PROMPTS).format(question),
        prompt_pixels=draw_scene(scene),
        target_text=answer,
        reference=AnswerReference(kind=name, answer=answer),
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
