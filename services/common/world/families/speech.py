"""speech: a question about a picture, as in vqa, is heard and not read.

Checked as vqa; the words are the exercise's `spoken`.
"""

from services.common.world.drawing import draw_scene
from services.common.world.families.exercise import Exercise, user
from services.common.world.families.vqa import AnswerReference
from services.common.world.media import Speech
from services.common.world.questions import ask
from services.common.world.sampling import SceneSource
from services.common.world.speech.voices import Voice, voices_of


def compose(scenes: SceneSource) -> Exercise:
    """A picture and a spoken question about it."""
    asked = ask(scenes)
    return Exercise(
        prompt=(user(draw_scene(asked.scene), spoken(asked.question, scenes)),),
        target_text=asked.answer,
        reference=AnswerReference(kind=asked.kind, answer=asked.answer),
    )


def spoken(words: str, scenes: SceneSource, voice: Voice | None = None) -> Speech:
    """The words in a voice, by default in any of the split's."""
    chosen = scenes.rng.choice(voices_of(scenes.split)) if voice is None else voice
    return Speech(words, chosen, scenes.rng.getrandbits(32))
