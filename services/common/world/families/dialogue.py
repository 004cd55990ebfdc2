"""dialogue: after talk of other things, a question about the first picture, mostly spoken.

A picture, then a turn or two about another picture or a clip, each answered rightly, then the
question. It is drawn apart from all that follows the first picture, and no earlier answer helps
with it. Checked as vqa.
"""

from collections.abc import Callable

from services.common.world.clip_questions import ask_about_clip
from services.common.world.clips import FRAME_MS, film
from services.common.world.drawing import draw_scene
from services.common.world.families.exercise import Exercise, PromptTurn, assistant, user
from services.common.world.families.speech import spoken
from services.common.world.families.vqa import AnswerReference
from services.common.world.questions import Asked, ask, question_kinds
from services.common.world.sampling import SceneSource
from services.common.world.scenes import Scene
from services.common.world.speech.voices import Voice, voices_of

OPENINGS = ("look at this.", "here is a picture.", "remember this picture.")
ACKNOWLEDGEMENT = "ok."

_SPOKEN_SHARE = 2 / 3
_OPENING_QUESTION_SHARE = 0.5
# By the kind of the last question: the kinds of a first one whose answers do not help with it.
_UNRELATED_KINDS = {
    "color": ("count",),
    "shape": ("count",),
    "exists": ("count",),
    "which": ("count",),
    "count": ("shape",),
    "relation": ("count", "color", "shape"),
    "size": ("count", "color", "shape"),
    "same": ("count", "shape"),  # a color is only asked of a shape that is there once
}

Turns = tuple[PromptTurn, ...]


def compose(scenes: SceneSource) -> Exercise:
    """A dialogue up to the last question."""
    voice = scenes.rng.choice(voices_of(scenes.split))
    asked = ask(scenes)
    middle = scenes.rng.choice(_MIDDLES)
    question = f"{asked.question.removesuffix('?')} in the first picture?"
    is_spoken = scenes.rng.random() < _SPOKEN_SHARE
    last = user(spoken(question, scenes, voice) if is_spoken else question)
    return Exercise(
        prompt=(*_opening(asked, scenes), *middle(scenes, voice), last),
        target_text=asked.answer,
        reference=AnswerReference(kind=asked.kind, answer=asked.answer),
    )


def _opening(asked: Asked, scenes: SceneSource) -> Turns:
    """The picture that the last question is about, and perhaps another question about it."""
    picture = draw_scene(asked.scene)
    other = _unrelated_question(asked, scenes)
    if other is None:
        return user(picture, scenes.rng.choice(OPENINGS)), assistant(ACKNOWLEDGEMENT)
    question, answer = other
    return user(picture, question), assistant(answer)


def _unrelated_question(asked: Asked, scenes: SceneSource) -> tuple[str, str] | None:
    """A question about the same picture, or None: half the time, or if none suits it."""
    kinds = question_kinds(scenes.level)
    suiting = [name for name in _UNRELATED_KINDS[asked.kind] if name in kinds]
    if not suiting or scenes.rng.random() >= _OPENING_QUESTION_SHARE:
        return None
    name = scenes.rng.choice(suiting)
    wanted = str(len(asked.scene.things)) if name == "count" else ""
    return kinds[name].make(asked.scene, scenes.rng, wanted)


def _about_a_picture(scenes: SceneSource, voice: Voice) -> Turns:
    asked = ask(scenes)
    return user(draw_scene(asked.scene), asked.question), assistant(asked.answer)


def _heard_about_a_picture(scenes: SceneSource, voice: Voice) -> Turns:
    asked = ask(scenes)
    heard = spoken(asked.question, scenes, voice)
    return user(draw_scene(asked.scene), heard), assistant(asked.answer)


def _twice_about_a_picture(scenes: SceneSource, voice: Voice) -> Turns:
    """A written question, then a spoken one about the same picture."""
    asked = ask(scenes)
    question, answer = _about_shape(asked.scene, scenes)
    first = user(draw_scene(asked.scene), question), assistant(answer)
    return (*first, user(spoken(asked.question, scenes, voice)), assistant(asked.answer))


def _about_shape(scene: Scene, scenes: SceneSource) -> tuple[str, str]:
    made = question_kinds(scenes.level)["shape"].make(scene, scenes.rng, "")
    assert made is not None  # a shape can be asked of any scene
    return made


def _about_a_clip(scenes: SceneSource, voice: Voice) -> Turns:
    asked = ask_about_clip(scenes)
    clip = film(asked.scene, scenes.rng.choice(FRAME_MS))
    return user(clip, asked.question), assistant(asked.answer)


def _about_a_picture_and_a_clip(scenes: SceneSource, voice: Voice) -> Turns:
    return (*_about_a_picture(scenes, voice), *_about_a_clip(scenes, voice))


_MIDDLES: tuple[Callable[[SceneSource, Voice], Turns], ...] = (
    _about_a_picture,
    _heard_about_a_picture,
    _twice_about_a_picture,
    _about_a_clip,
    _about_a_picture_and_a_clip,
)
