"""Items are the same each time, say what they were made from, and their targets are right."""

import json
from zlib import crc32

import numpy as np
import pytest

from models.preprocessing.conversation import Audio, Picture, Role, Text, Video
from models.preprocessing.images import decode_picture
from services.common.world.checkers import check
from services.common.world.families.exercise import ALL_FAMILIES, FAMILIES
from services.common.world.items import make_item
from services.common.world.sampling import DEFAULT_LEVEL, LEVELS, SPLITS


def same_pixels(first, second):
    return first is second is None or np.array_equal(first, second)


def opening_of(item):
    """What is shown, and the first letters of what is said of it."""
    (turn,) = item.conversation
    return (*(type(part) for part in turn.parts), item.prompt_text[:6])


@pytest.mark.parametrize("family", ALL_FAMILIES)
@pytest.mark.parametrize("split", SPLITS)
def test_an_item_is_the_same_each_time(family, split):
    for index in range(20):
        first, second = make_item(family, split, index), make_item(family, split, index)
        assert (
            first.item_id
            == second.item_id
            == f"{family}-{split}-level{DEFAULT_LEVEL}-seed0-{index}"
        )
        assert first.prompt_text == second.prompt_text
        assert first.target_text == second.target_text
        assert first.reference == second.reference
        assert same_pixels(first.prompt_pixels, second.prompt_pixels)
        assert same_pixels(first.target_pixels, second.target_pixels)
        assert first.conversation == second.conversation
        assert first.target == second.target


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_index_seed_and_level_each_change_the_items(family):
    def prompts(level=DEFAULT_LEVEL, seed=0, start=0):
        items = [make_item(family, "train", start + i, level, seed) for i in range(10)]
        return [(item.prompt_text, item.reference) for item in items]

    assert prompts() != prompts(seed=1)
    assert prompts() != prompts(level=1)
    assert prompts() != prompts(start=10)


@pytest.mark.parametrize("family", ALL_FAMILIES)
@pytest.mark.parametrize("level", LEVELS)
def test_each_target_is_right_by_its_own_checker_and_reference(family, level):
    for index in range(300):
        item = make_item(family, "train", index, level)
        reference = json.loads(json.dumps(item.reference))
        result = check(family, reference, item.target)
        assert result.score == result.subscores["strict"] == 1


def test_prompts_are_one_turn_of_what_their_family_shows():
    shown = {"draw": [Text], "speech": [Picture, Audio], "video": [Video, Text]}
    for family in FAMILIES:
        item = make_item(family, "train", 0)
        (turn,) = item.conversation
        assert turn.role == Role.USER
        assert [type(part) for part in turn.parts] == shown.get(family, [Picture, Text])
        assert item.target.role == Role.ASSISTANT
        assert [type(p) for p in item.target.parts] == [Picture if family == "draw" else Text]


def test_encoded_pictures_are_the_pixels():
    item = make_item("draw", "train", 3)
    picture = item.target.parts[0]
    assert np.array_equal(np.asarray(decode_picture(picture.data)), item.target_pixels)


def test_prompts_tell_the_families_apart():
    openings = {
        family: {opening_of(make_item(family, "train", i)) for i in range(300)}
        for family in FAMILIES
    }
    for family in FAMILIES:
        others = set().union(*(openings[other] for other in FAMILIES if other != family))
        assert not openings[family] & others


def test_prompts_and_answers_are_lower_case_and_short():
    for family in ALL_FAMILIES:
        for level in LEVELS:
            for index in range(100):
                item = make_item(family, "train", index, level)
                for text in filter(None, (item.prompt_text, item.target_text)):
                    assert text == text.lower()
                    assert text.isascii()
                assert len((item.target_text or "").replace(",", " ,").split()) <= 28


def test_an_unknown_family_level_or_split_is_refused():
    with pytest.raises(ValueError, match="family is 'sing'; choose one of caption, vqa"):
        make_item("sing", "train", 0)
    with pytest.raises(ValueError, match="level is 0"):
        make_item("draw", "train", 0, level=0)
    with pytest.raises(ValueError, match="split is 'test'"):
        make_item("draw", "test", 0)


@pytest.mark.parametrize(
    ("family", "prompt", "target", "pixels_crc"),
    [
        (
            "caption",
            "write a caption.",
            "a red triangle left of a green triangle, a cyan square below the red triangle",
            1345343832,
        ),
        ("vqa", "is there a purple triangle?", "yes", 1846223349),
        (
            "draw",
            "paint a cyan square left of a green square, a blue triangle below the green square.",
            None,
            4002176878,
        ),
        (
            "align",
            "give the box of each thing: a yellow cross left of a green cross, "
            "a cyan circle below the yellow cross.",
            "yellow cross 1 4 12 15, green cross 18 1 31 14, cyan circle 1 21 12 32",
            3709160606,
        ),
    ],
)
def test_items_do_not_change_between_versions_lest_checkpoints_and_figures_lose_their_meaning(
    family, prompt, target, pixels_crc
):
    item = make_item(family, "heldout", 7, level=3)
    pixels = item.target_pixels if item.prompt_pixels is None else item.prompt_pixels
    assert (item.prompt_text, item.target_text) == (prompt, target)
    assert crc32(pixels.tobytes()) == pixels_crc


@pytest.mark.parametrize(
    ("family", "asked", "target"),
    [
        ("speech", ("", "is there a red cross?"), "no"),
        ("video", ("what moves?", None), "purple triangle"),
        (
            "dialogue",
            (
                "how many things are there?\n3\nblue square\n"
                "is there a blue square in the first picture?",
                "what is below the purple circle?",
            ),
            "no",
        ),
        ("transcribe", ("transcribe what is said.", "one nine"), "one nine"),
    ],
)
def test_items_with_sound_or_clips_do_not_change_either(family, asked, target):
    exercise = make_item(family, "heldout", 7, level=3).exercise
    assert (exercise.prompt_text, exercise.spoken, exercise.target_text) == (*asked, target)
