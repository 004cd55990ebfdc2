"""Drawings of known content against what was asked, and answers that are no drawing."""

import io
import struct
import zlib
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageFilter

from models.preprocessing.conversation import Picture, Role, Text, TokenIds, Turn
from models.preprocessing.images import encode_png
from services.common.world.answers import InvalidAnswer
from services.common.world.drawing import draw_scene
from services.common.world.families.draw import check_answer, check_pixels
from services.common.world.families.exercise import reference_of
from services.common.world.items import make_item
from services.common.world.sampling import LEVELS
from services.common.world.scenes import OPPOSITE, Scene, Thing

RED = Thing("red", "circle", 8, 8, 6)
BLUE = Thing("blue", "square", 8, 24, 6)
ASKED = reference_of(Scene((RED, BLUE)), [(0, "above", 1)])
AT = {"above": (16, 7), "below": (16, 25), "left of": (7, 16), "right of": (25, 16)}


def score_of(*things, reference=ASKED):
    return check_pixels(reference, draw_scene(Scene(things)))


def test_what_was_asked_scores_one_wherever_it_is_drawn():
    assert score_of(RED, BLUE).score == 1
    moved = score_of(Thing("red", "circle", 20, 7, 7), Thing("blue", "square", 16, 25, 5))
    assert moved.score == moved.subscores["strict"] == moved.subscores["facts"] == 1


@pytest.mark.parametrize("relation", AT)
def test_each_relation_is_right_as_asked_and_wrong_the_other_way_round(relation):
    first = Thing("red", "circle", *AT[relation], 6)
    second = Thing("blue", "square", *AT[OPPOSITE[relation]], 6)
    asked = reference_of(Scene((RED, BLUE)), [(0, relation, 1)])
    assert score_of(first, second, reference=asked).score == 1
    turned = reference_of(Scene((RED, BLUE)), [(0, OPPOSITE[relation], 1)])
    assert score_of(first, second, reference=turned).subscores["strict"] == 0


# Wanted: two colors, two shapes, one relation: 5 facts. F1 = 2 · right / (stated + 5).
@pytest.mark.parametrize(
    ("things", "facts"),
    [
        ([], 0),
        ([RED], 2 * 2 / (2 + 5)),
        ([Thing("red", "circle", 8, 24, 6), Thing("blue", "square", 8, 8, 6)], 2 * 4 / (5 + 5)),
        ([Thing("red", "circle", 7, 7, 6), Thing("blue", "square", 24, 24, 6)], 2 * 4 / (5 + 5)),
        ([Thing("red", "cross", 8, 8, 6), BLUE], 2 * 4 / (5 + 5)),
        ([Thing("green", "circle", 8, 8, 6), BLUE], 2 * 2 / (4 + 5)),
        ([RED, BLUE, Thing("green", "cross", 25, 16, 6)], 2 * 5 / (7 + 5)),
        ([RED, BLUE, Thing("red", "circle", 25, 16, 6)], 2 * 5 / (7 + 5)),
    ],
    ids=[
        "nothing",
        "one thing missing",
        "places swapped",
        "diagonal",
        "one shape wrong",
        "one color wrong",
        "a thing too many",
        "one thing twice",
    ],
)
def test_a_partly_right_drawing_scores_half_the_f1_of_its_facts(things, facts):
    result = score_of(*things)
    assert result.subscores == {"strict": 0, "facts": pytest.approx(facts)}
    assert result.score == pytest.approx(facts / 2)


def test_of_two_blobs_of_a_color_the_better_is_taken():
    spoiled = score_of(Thing("red", "cross", 25, 24, 6), RED, BLUE)
    assert spoiled.subscores["facts"] == pytest.approx(2 * 5 / (7 + 5))


def test_a_thing_of_foreign_color_counts_as_too_many():
    pixels = draw_scene(Scene((RED, BLUE))).copy()
    pixels[10:20, 20:30] = 255
    assert check_pixels(ASKED, pixels).subscores["facts"] == pytest.approx(2 * 5 / (7 + 5))


def test_where_sizes_are_told_they_are_checked():
    small, large = Thing("red", "circle", 8, 8, 5), Thing("blue", "square", 8, 24, 7)
    asked = reference_of(Scene((small, large), names_sizes=True), [(0, "above", 1)])
    assert score_of(small, large, reference=asked).score == 1
    swapped = score_of(
        Thing("red", "circle", 8, 8, 7), Thing("blue", "square", 8, 24, 5), reference=asked
    )
    assert swapped.subscores == {"strict": 0, "facts": pytest.approx(2 * 5 / (7 + 7))}


@pytest.mark.parametrize("level", LEVELS)
def test_true_renders_are_strictly_right_even_blurred_and_noisy(level):
    rng = np.random.default_rng(level)
    num_items, num_plain, num_worn = 400, 0, 0
    for index in range(num_items):
        exercise = make_item("draw", "train", index, level).exercise
        pixels = exercise.target_pixels
        blurred = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(1.0))
        worn = np.clip(np.asarray(blurred) + rng.integers(-10, 11, pixels.shape), 0, 255)
        num_plain += check_pixels(exercise.reference, pixels).subscores["strict"]
        num_worn += check_pixels(exercise.reference, worn.astype(np.uint8)).subscores["strict"]
    assert num_plain >= 0.99 * num_items
    assert num_worn >= 0.98 * num_items


@pytest.mark.parametrize("level", LEVELS)
def test_a_drawing_of_other_content_is_never_strictly_right(level):
    exercises = [make_item("draw", "train", index, level).exercise for index in range(400)]
    for asked, drawn in pairwise(exercises):
        content = [t.phrase for t in asked.reference.things]
        if content != [t.phrase for t in drawn.reference.things]:
            assert check_pixels(asked.reference, drawn.target_pixels).subscores["strict"] == 0


def answer(*parts):
    return Turn(Role.ASSISTANT, parts)


DRAWN = Picture(encode_png(draw_scene(Scene((RED, BLUE)))))


def test_a_picture_is_checked_with_or_without_words_and_at_any_size():
    assert check_answer(ASKED, answer(DRAWN)).score == 1
    assert check_answer(ASKED, answer(Text("here:"), DRAWN)).score == 1
    large = io.BytesIO()
    Image.open(io.BytesIO(DRAWN.data)).resize((128, 128)).save(large, "PNG")
    assert check_answer(ASKED, answer(Picture(large.getvalue()))).score == 1


def test_no_picture_or_more_than_one_scores_zero():
    for parts in ((), (Text("a red circle above a blue square"),), (DRAWN, DRAWN)):
        assert check_answer(ASKED, answer(*parts)).score == 0


def _png_header_of(width, height):
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT\x35\xaf\x06\x1e"


@pytest.mark.parametrize(
    "data",
    [b"", b"not a picture", DRAWN.data[:60], _png_header_of(6000, 6000)],
    ids=["empty", "text", "truncated", "bomb"],
)
def test_a_picture_that_did_not_arrive_whole_is_an_error_and_no_score(data):
    with pytest.raises(InvalidAnswer, match="cannot be decoded"):
        check_answer(ASKED, answer(Picture(data)))


def test_tokens_that_were_not_decoded_are_an_error():
    with pytest.raises(InvalidAnswer, match="decode them"):
        check_answer(ASKED, answer(TokenIds((1, 2), "fingerprint")))
