"""align: each phrase of a sentence is placed on the picture by its box.

`red circle 4 6 15 17, blue square 18 3 31 16`. The score is alignment accuracy: of the content
words (colors and shapes), the share whose box overlaps the true one with an IoU of 0.5 or more.
Words that were placed beyond those of the sentence, or twice, lengthen what the share is taken of.
"""

import re

from models.preprocessing.conversation import Turn
from services.common.world.answers import CheckResult, SceneReference, ThingReference, text_of
from services.common.world.drawing import draw_scene
from services.common.world.families.exercise import Exercise, reference_of, user
from services.common.world.language import (
    MAX_ANSWER_CHARS,
    Phrase,
    normalized,
    phrases_of,
    read_phrase,
    sentence_of,
    statements_of,
)
from services.common.world.sampling import SceneSource
from services.common.world.scenes import (
    PICTURE_PX,
    Box,
    Scene,
    intersection_over_union,
)

PROMPTS = ("where is each thing? {}.", "give the box of each thing: {}.", "locate {}.")
MIN_IOU = 0.5

_WORDS_PER_PHRASE = 2
_PLACEMENT = re.compile(r"([a-z ]+) ([0-9]{1,2}) ([0-9]{1,2}) ([0-9]{1,2}) ([0-9]{1,2})")


def compose(scenes: SceneSource) -> Exercise:
    """A picture and a sentence about it."""
    scene = scenes.next()
    told = statements_of(scene, scenes.rng)
    question = scenes.rng.choice(PROMPTS).format(sentence_of(scene, told))
    return Exercise(
        prompt=(user(draw_scene(scene), question),),
        target_text=placements_of(scene),
        reference=reference_of(scene, []),
    )


def placements_of(scene: Scene) -> str:
    """The right answer: each thing's phrase and box, in the scene's order."""
    return ", ".join(
        f"{phrase.name} {' '.join(map(str, thing.box))}"
        for phrase, thing in zip(phrases_of(scene), scene.things, strict=True)
    )


def check_answer(reference: SceneReference, answer: Turn) -> CheckResult:
    """Alignment accuracy; 0 when the answer is not a list of phrases with boxes."""
    text = text_of(answer)
    placements = None if text is None else read_placements(text)
    if placements is None:
        return CheckResult(0.0, {"strict": 0.0, "mean_iou": 0.0})
    open_things = {thing.phrase.color: thing for thing in reference.things}
    num_words_right = 0
    total_iou = 0.0
    for phrase, box in placements:
        thing = open_things.pop(phrase.color, None)
        if thing is None or box is None:
            continue
        iou = intersection_over_union(thing.box, box)
        num_words_right += _words_right(phrase, thing) if iou >= MIN_IOU else 0
        total_iou += iou
    num_things = len(reference.things)
    score = num_words_right / (_WORDS_PER_PHRASE * max(num_things, len(placements)))
    subscores = {"strict": float(score == 1.0), "mean_iou": total_iou / num_things}
    return CheckResult(score, subscores)


def read_placements(text: str) -> list[tuple[Phrase, Box | None]] | None:
    """Phrases with their boxes, None for a box that is empty or off the picture; None for the
    whole when it reads otherwise."""
    if len(text) > MAX_ANSWER_CHARS:
        return None
    placements: list[tuple[Phrase, Box | None]] = []
    for entry in re.split(r"\s*[,;]\s*", normalized(text)):
        match = _PLACEMENT.fullmatch(entry)
        phrase = None if match is None else read_phrase(match[1])
        if match is None or phrase is None:
            return None
        left, top, right, bottom = (int(match[i]) for i in range(2, 6))
        is_box = left < right <= PICTURE_PX and top < bottom <= PICTURE_PX
        placements.append((phrase, (left, top, right, bottom) if is_box else None))
    return placements


def _words_right(phrase: Phrase, thing: ThingReference) -> int:
    """How many content words of the sentence a well placed phrase answers; the color always."""
    return 1 + (phrase.shape == thing.phrase.shape)
