"""video: a question about a clip of two seconds, in which things move.

Which way, what, what first, before what, how many: none of it can be seen on the last frame.
Checked as vqa.
"""

from services.common.world.clip_questions import ask_about_clip
from services.common.world.clips import FRAME_MS, film
from services.common.world.families.exercise import Exercise, user
from services.common.world.families.vqa import AnswerReference
from services.common.world.sampling import SceneSource

PROMPTS = ("{}", "watch the clip: {}", "watch and answer: {}")


def compose(scenes: SceneSource) -> Exercise:
    """A clip and a question about it."""
    asked = ask_about_clip(scenes)
    question = scenes.rng.choice(PROMPTS).format(asked.question)
    clip = film(asked.scene, scenes.rng.choice(FRAME_MS))
    return Exercise(
        prompt=(user(clip, question),),
        target_text=asked.answer,
        reference=AnswerReference(kind=asked.kind, answer=asked.answer),
    )
