"""draw: a sentence is drawn, and a detector looks at what was drawn.

The score is half for the drawing being right in all (`strict`), half for the F1 of its facts: each
thing's color, shape and, where told, size, and each relation told; anything more that was drawn
counts against it. The second half gives learning a slope, the first keeps it worth finishing.
"""

import numpy as np
from numpy.typing import NDArray

from models.preprocessing.conversation import Turn
from services.common.world.answers import (
    CheckResult,
    SceneReference,
    ThingReference,
    f1,
    pixels_of,
)
from services.common.world.detector import Detection, detect
from services.common.world.drawing import draw_scene
from services.common.world.families.exercise import Exercise, reference_of, user
from services.common.world.language import sentence_of, statements_of
from services.common.world.sampling import SceneSource
from services.common.world.scenes import DRAWN_SLOPE, relation_between, size_of

PROMPTS = ("draw {}.", "make a picture of {}.", "paint {}.")


def compose(scenes: SceneSource) -> Exercise:
    """A sentence to draw; the target is the scene that it was taken from."""
    scene = scenes.next()
    told = statements_of(scene, scenes.rng)
    request = scenes.rng.choice(PROMPTS).format(sentence_of(scene, told))
    return Exercise(
        prompt=(user(request),),
        target_pixels=draw_scene(scene),
        reference=reference_of(scene, told),
    )


def check_answer(reference: SceneReference, answer: Turn) -> CheckResult:
    """How well one picture shows what was asked; anything but one picture scores 0."""
    pixels = pixels_of(answer)
    if pixels is None:
        return CheckResult(0.0, {"strict": 0.0, "facts": 0.0})
    return check_pixels(reference, pixels)


def check_pixels(reference: SceneReference, pixels: NDArray[np.uint8]) -> CheckResult:
    """The same for pixels [32, 32, 3]."""
    detections = detect(pixels)
    found = [_match(thing, detections) for thing in reference.things]
    num_right = num_stated = num_wanted = 0
    for thing, detection in zip(reference.things, found, strict=True):
        facts = _facts_right(thing, detection)
        num_right += sum(facts)
        num_wanted += len(facts)
    num_facts_per_thing = 2 if reference.things[0].phrase.size is None else 3
    num_stated = num_facts_per_thing * len(detections)
    for i, relation, j in reference.relations:
        num_wanted += 1
        first, second = found[i], found[j]
        if first is not None and second is not None:
            num_stated += 1
            num_right += relation_between(first.box, second.box, DRAWN_SLOPE) == relation
    strict = float(num_right == num_stated == num_wanted)
    facts_f1 = f1(num_right, num_stated, num_wanted)
    return CheckResult((strict + facts_f1) / 2, {"strict": strict, "facts": facts_f1})


def _match(thing: ThingReference, detections: list[Detection]) -> Detection | None:
    """The blob of the thing's color that has most of its facts right; the rest are extra."""
    of_color = [d for d in detections if d.color == thing.phrase.color]
    return max(of_color, key=lambda d: sum(_facts_right(thing, d)), default=None)


def _facts_right(thing: ThingReference, detection: Detection | None) -> list[bool]:
    """Whether color, shape and, where it was told, size are right."""
    size = thing.phrase.size
    if detection is None:
        return [False] * (2 if size is None else 3)
    facts = [True, detection.shape == thing.phrase.shape]
    return facts if size is None else [*facts, size_of(detection.box) == size]
