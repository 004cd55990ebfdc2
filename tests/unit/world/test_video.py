"""Clips and questions about them: motions as asked for, and a last frame that tells nothing."""

from collections import Counter, defaultdict
from itertools import pairwise
from random import Random

import numpy as np
import pytest

from models.preprocessing.conversation import Text, Video
from services.common.world.checkers import check
from services.common.world.clip_questions import ask_about_clip, clip_kinds
from services.common.world.clips import (
    DIRECTIONS,
    FRAME_MS,
    MIN_TRAVEL_PX,
    Motion,
    MovingScene,
    film,
    place_at,
    room_behind,
    sample_things,
)
from services.common.world.drawing import BACKGROUND, PALETTE, draw_scene
from services.common.world.items import make_item
from services.common.world.sampling import LEVELS, SPLITS, SceneSource, content_key
from services.common.world.scenes import PICTURE_PX, Scene, Thing

RED = Thing("red", "circle", 16, 16, 4)
BLUE = Thing("blue", "square", 5, 5, 3)


def things_of(kind, level=4, num_scenes=60):
    """Last frames that the kind can be asked of, whatever the answer."""
    rng = Random(f"{kind} {level}")
    maker = clip_kinds(LEVELS[level])[kind]
    found = []
    while len(found) < num_scenes:
        things = sample_things(rng, rng.randint(maker.min_count, LEVELS[level].max_count))
        if maker.make(things, Random(0), maker.answers(things)[0]) is not None:
            found.append(things)
    return found


def name_of(thing):
    return f"{thing.color} {thing.shape}"


def answer_of(question, things, motions):
    """The right answer by the motions alone."""
    starts = {name_of(things[index]): motion.start for index, motion in motions.items()}
    if question == "how many things move?":
        return str(len(motions))
    if question in ("what moves?", "what moves first?"):
        return min(starts, key=starts.get)
    if question.startswith("which way"):
        (index,) = (i for i, thing in enumerate(things) if name_of(thing) in question)
        return motions[index].direction
    first, second = question.removeprefix("does the ").removesuffix("?").split(" move before the ")
    return "yes" if starts[first] < starts[second] else "no"


@pytest.mark.parametrize("kind", list(clip_kinds(LEVELS[4])))
def test_any_answer_can_be_given_of_the_same_last_frame(kind):
    maker = clip_kinds(LEVELS[4])[kind]
    for things in things_of(kind):
        last_frames = set()
        for answer in maker.answers(things):
            question, motions = maker.make(things, Random(1), answer)
            assert answer_of(question, things, motions) == answer
            scene = MovingScene(things, tuple(motions.get(i) for i in range(len(things))))
            last_frames.add(film(scene, 250).frames_FHW3[-1].tobytes())
        assert last_frames == {draw_scene(Scene(things)).tobytes()}


def test_the_direction_is_asked_of_a_thing_that_has_room_on_all_sides():
    maker = clip_kinds(LEVELS[1])["direction"]
    cornered = (Thing("red", "circle", 4, 4, 4),)
    assert maker.make(cornered, Random(0), "left") is None
    question, motions = maker.make((RED,), Random(0), "left")
    assert question == "which way does the red circle move?"
    assert motions[0].direction == "left"


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_asks_its_kinds_and_they_are_answered_by_what_moves(level):
    scenes = SceneSource(Random(level), level, "train")
    for _ in range(300):
        asked = ask_about_clip(scenes)
        motions = {i: motion for i, motion in enumerate(asked.scene.motions) if motion}
        assert answer_of(asked.question, asked.scene.things, motions) == asked.answer
        assert asked.kind in clip_kinds(LEVELS[level])
        if asked.kind == "mover":
            assert len(motions) == 1
        for index, motion in motions.items():
            assert motion.travel_px >= MIN_TRAVEL_PX
            assert 0 <= motion.start < motion.end <= 7
            start = place_at(asked.scene.things[index], motion, 0)
            assert min(start.box) >= 0
            assert max(start.box) <= PICTURE_PX
    kinds = {1: 2, 2: 4, 3: 5, 4: 5}
    assert len(clip_kinds(LEVELS[level])) == kinds[level]


def test_things_that_move_in_turn_never_do_so_together():
    maker = clip_kinds(LEVELS[4])["before"]
    for things in things_of("before"):
        _, motions = maker.make(things, Random(2), "yes")
        spans = sorted((motion.start, motion.end) for motion in motions.values())
        assert len(spans) >= 2
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_a_thing_arrives_from_the_other_side_and_stays():
    motion = Motion("right", 6, 2, 5)
    assert [place_at(RED, motion, f).center_x for f in range(8)] == [10, 10, 10, 12, 14, 16, 16, 16]
    assert {place_at(RED, motion, frame).center_y for frame in range(8)} == {16}
    assert place_at(RED, Motion("up", 6, 0, 7), 0).center_y == 22
    assert place_at(RED, None, 3) == RED


def test_there_is_room_behind_a_thing_up_to_the_edge():
    thing = Thing("red", "circle", 10, 6, 4)
    assert [room_behind(thing, way) for way in DIRECTIONS] == [17, 6, 21, 2]


def test_what_moves_is_drawn_over_what_does_not():
    over = Thing("blue", "square", 16, 24, 3)
    scene = MovingScene((RED, over), (None, Motion("down", 8, 0, 7)))
    frames = film(scene, 250).frames_FHW3
    assert tuple(frames[0, 16, 16]) == PALETTE["blue"]
    assert tuple(frames[0, 11, 16]) == BACKGROUND
    assert tuple(frames[7, 16, 16]) == PALETTE["red"]


@pytest.mark.parametrize("level", LEVELS)
def test_the_last_frame_tells_no_more_than_guessing_does(level):
    """What was most often right of earlier clips that look like this one at their end."""
    by_look, by_place = defaultdict(Counter), defaultdict(Counter)
    right, chance = Counter(), 0.0
    num_items = 1800
    scenes = SceneSource(Random(f"lookup {level}"), level, "train")
    for _ in range(num_items):
        asked = ask_about_clip(scenes)
        things = asked.scene.things
        chance += 1 / len(clip_kinds(LEVELS[level])[asked.kind].answers(things))
        look = (asked.question, content_key(Scene(things)))
        asked_of = [t for t in things if name_of(t) in asked.question]
        place = (asked.kind, *((t.center_x // 4, t.center_y // 4) for t in asked_of))
        for name, key, counts in (("look", look, by_look), ("place", place, by_place)):
            if counts[key]:
                right[name] += counts[key].most_common(1)[0][0] == asked.answer
            counts[key][asked.answer] += 1
    assert right["look"] < chance + 0.04 * num_items
    assert right["place"] < chance + 0.04 * num_items


@pytest.mark.parametrize("level", LEVELS)
def test_kinds_and_answers_come_equally_often(level):
    answers = defaultdict(Counter)
    scenes = SceneSource(Random(f"balance {level}"), level, "train")
    num_items = 1500
    for _ in range(num_items):
        asked = ask_about_clip(scenes)
        answers[asked.kind][asked.answer] += 1
    kinds = clip_kinds(LEVELS[level])
    assert set(answers) == set(kinds)
    fair = {"direction": 1 / 4, "mover": 1 / 24, "first": 1 / 24, "before": 1 / 2}
    fair["moving"] = 1 / max(LEVELS[level].max_count, 2)
    for kind, counts in answers.items():
        num_asked = sum(counts.values())
        assert num_asked == pytest.approx(num_items / len(kinds), rel=0.25)
        assert counts.most_common(1)[0][1] / num_asked <= fair[kind] + 0.08


def test_splits_share_no_last_frame_content():
    keys = {}
    for split in SPLITS:
        for level in LEVELS:
            scenes = SceneSource(Random(f"{split} {level}"), level, split)
            found = {content_key(Scene(ask_about_clip(scenes).scene.things)) for _ in range(60)}
            keys.setdefault(split, set()).update(found)
    assert not keys["train"] & keys["heldout"]
    assert not keys["train"] & keys["validation"]
    assert not keys["heldout"] & keys["validation"]


def test_items_are_a_clip_of_eight_frames_and_a_question():
    durations = set()
    for index in range(50):
        item = make_item("video", "train", index)
        (turn,) = item.conversation
        assert [type(part) for part in turn.parts] == [Video, Text]
        clip, question = item.exercise.prompt[0].contents
        assert clip.frames_FHW3.shape == (8, 32, 32, 3)
        assert clip.frames_FHW3.dtype == np.uint8
        assert question == item.prompt_text
        assert item.prompt_pixels is None
        durations.add(clip.frame_ms)
    assert durations == set(FRAME_MS)
    assert all(1500 <= 8 * duration <= 2500 for duration in durations)


@pytest.mark.parametrize(
    ("answer", "given", "score"),
    [
        ("left", "Left.", 1),
        ("left", "right", 0),
        ("red circle", "the red circle", 1),
        ("red circle", "circle", 0),
        ("2", "two", 1),
        ("yes", "no", 0),
    ],
)
def test_answers_are_judged_as_in_vqa(answer, given, score, says):
    assert check("video", {"kind": "any", "answer": answer}, says(given)).score == score
