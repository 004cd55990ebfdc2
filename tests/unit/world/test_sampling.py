"""Levels and splits over thousands of scenes."""

from random import Random

import pytest

from services.common.world.sampling import (
    DEFAULT_LEVEL,
    LEVELS,
    SPLITS,
    SceneSource,
    content_key,
    sample_scene,
    split_of,
)
from services.common.world.scenes import COLORS, SHAPES, Scene, Thing


def scenes_of(level, num_scenes=1500):
    rng = Random(f"scenes of level {level}")
    return [sample_scene(rng, LEVELS[level]) for _ in range(num_scenes)]


@pytest.mark.parametrize("level", LEVELS)
def test_things_lie_within_the_picture_and_apart(level):
    for scene in scenes_of(level):
        boxes = [thing.box for thing in scene.things]
        assert all(min(box) >= 0 and max(box) <= 32 for box in boxes)
        for i, a in enumerate(boxes):
            for b in boxes[i + 1 :]:
                gap = max(a[0] - b[2], b[0] - a[2], a[1] - b[3], b[1] - a[3])
                assert gap >= 2


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_has_its_counts_and_radii_and_no_color_twice(level):
    scenes = scenes_of(level)
    counts = {len(scene.things) for scene in scenes}
    assert counts == set(range(1, LEVELS[level].max_count + 1))
    assert {thing.radius for scene in scenes for thing in scene.things} == set(LEVELS[level].radii)
    for scene in scenes:
        assert len({thing.color for thing in scene.things}) == len(scene.things)


@pytest.mark.parametrize("level", [2, 3, 4])
def test_things_come_in_reading_order_and_clear_relations_join_them_all(level):
    for scene in scenes_of(level):
        joined = {0}
        for i, relation, j in scene.relations():
            assert relation in ("above", "left of")
            joined |= {i, j}
        assert joined == set(range(len(scene.things)))


def test_both_first_relations_are_equally_common():
    pairs = [scene for scene in scenes_of(2, 3000) if len(scene.things) == 2]
    num_above = sum(scene.relations()[0][1] == "above" for scene in pairs)
    assert 0.46 < num_above / len(pairs) < 0.54


@pytest.mark.parametrize("level", LEVELS)
def test_splits_share_no_content_and_each_has_all_colors_and_shapes(level):
    keys = {}
    for split in SPLITS:
        source = SceneSource(Random(f"{split} {level}"), level, split)
        scenes = [source.next() for _ in range(2000)]
        keys[split] = {content_key(scene) for scene in scenes}
        things = [thing for scene in scenes for thing in scene.things]
        assert {thing.color for thing in things} == set(COLORS)
        assert {thing.shape for thing in things} == set(SHAPES)
    assert not keys["train"] & keys["heldout"]
    assert not keys["train"] & keys["validation"]
    assert not keys["heldout"] & keys["validation"]


def test_about_a_tenth_of_contents_is_held_out_and_a_tenth_is_for_validation():
    by_key = {content_key(scene): split_of(scene) for scene in scenes_of(2, 20_000)}
    for split in ("heldout", "validation"):
        share = sum(found == split for found in by_key.values()) / len(by_key)
        assert 0.07 < share < 0.13


def test_content_does_not_change_with_small_moves_or_sizes():
    here = Scene((Thing("red", "circle", 10, 8, 6), Thing("blue", "cross", 11, 24, 6)))
    moved = Scene((Thing("red", "circle", 13, 7, 7), Thing("blue", "cross", 10, 23, 6)))
    assert content_key(here) == content_key(moved) == "red circle; blue cross; 0 above 1"


def test_a_thing_alone_is_told_from_another_by_its_place():
    places = {content_key(Scene((Thing("red", "circle", x, 8, 6),))) for x in (8, 15, 16, 24)}
    assert len(places) == 3


def test_a_wrong_level_or_split_is_refused_with_what_is_allowed():
    with pytest.raises(ValueError, match="level is 5; choose one of 1, 2, 3, 4"):
        SceneSource(Random(0), 5, "train")
    with pytest.raises(ValueError, match="split is 'test'; choose one of train"):
        SceneSource(Random(0), DEFAULT_LEVEL, "test")
