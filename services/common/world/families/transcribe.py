"""transcribe: what is said is written down.

The score is 1 minus the word error rate, 0 at least; case, punctuation and digits for number words
do not matter. Said are questions and sentences about scenes of the split, and strings of digits.
"""

from pydantic import BaseModel, ConfigDict, Field

from models.preprocessing.conversation import Turn
from services.common.world.answers import CheckResult, text_of
from services.common.world.families.exercise import Exercise, user
from services.common.world.families.speech import spoken
from services.common.world.language import MAX_ANSWER_CHARS, sentence_of, statements_of
from services.common.world.questions import ask
from services.common.world.sampling import SceneSource, split_of_key
from services.common.world.speech.lexicon import DIGITS, is_pause, words_of

PROMPTS = ("transcribe.", "transcribe what is said.", "transcribe the recording.")

_NUM_DIGITS = (2, 6)


class TranscriptReference(BaseModel):
    """What was said, and of which kind it is for reports."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    transcript: str = Field(pattern=r"[a-z0-9]")


def compose(scenes: SceneSource) -> Exercise:
    """A recording to write down."""
    rng = scenes.rng
    kind = rng.choice(("question", "sentence", "digits"))
    match kind:
        case "question":
            said = ask(scenes).question
        case "sentence":
            scene = scenes.next()
            said = sentence_of(scene, statements_of(scene, rng))
        case _:
            said = _digits(scenes)
    return Exercise(
        prompt=(user(spoken(said, scenes), rng.choice(PROMPTS)),),
        target_text=said,
        reference=TranscriptReference(kind=kind, transcript=said),
    )


def check_answer(reference: TranscriptReference, answer: Turn) -> CheckResult:
    """1 minus the word error rate, not below 0; `strict` when no word is wrong."""
    text = text_of(answer)
    if text is None or len(text) > MAX_ANSWER_CHARS:
        return CheckResult(0.0, {"strict": 0.0})
    wanted = _plain(reference.transcript)
    score = max(1 - _num_edits(wanted, _plain(text)) / len(wanted), 0.0)
    return CheckResult(score, {"strict": float(score == 1.0)})


def _digits(scenes: SceneSource) -> str:
    """A string of digits in words, of the scenes' split."""
    rng = scenes.rng
    while True:
        said = " ".join(rng.choices(DIGITS, k=rng.randint(*_NUM_DIGITS)))
        if split_of_key(said) == scenes.split:
            return said


def _plain(text: str) -> list[str]:
    return [word for word in words_of(text) if not is_pause(word)]


def _num_edits(wanted: list[str], given: list[str]) -> int:
    """The fewest words put in, left out or changed that make one of the other (Levenshtein)."""
    edits = list(range(len(given) + 1))
    for row, word in enumerate(wanted, start=1):
        diagonal, edits[0] = edits[0], row
        for column, other in enumerate(given, start=1):
            changed = diagonal + (word != other)
            diagonal = edits[column]
            edits[column] = min(changed, edits[column] + 1, edits[column - 1] + 1)
    return edits[-1]
