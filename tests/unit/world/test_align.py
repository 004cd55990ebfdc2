"""Placements of two things at known boxes."""

import pytest

from services.common.world.families.align import check_answer, placements_of, read_placements
from services.common.world.families.exercise import reference_of
from services.common.world.language import Phrase
from services.common.world.scenes import Scene, Thing

SCENE = Scene((Thing("red", "circle", 9, 11, 5), Thing("blue", "square", 24, 10, 6)))
RED, BLUE = "red circle 4 6 15 17", "blue square 18 4 31 17"


def result_of(text, says):
    return check_answer(reference_of(SCENE, []), says(text))


def test_the_right_answer_reads_as_phrases_and_boxes():
    assert placements_of(SCENE) == f"{RED}, {BLUE}"


@pytest.mark.parametrize(
    "text",
    [
        f"{RED}, {BLUE}",
        f"{BLUE}, {RED}",
        f"a {RED}; the {BLUE}.",
        f"A small {RED.title()},  {BLUE}",
        "red circle 5 7 16 17, blue square 18 5 30 16",
    ],
)
def test_all_words_placed_score_one(text, says):
    assert result_of(text, says).score == result_of(text, says).subscores["strict"] == 1


# Four content words are wanted.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (RED, 2 / 4),
        (f"{RED}, blue square 0 0 10 10", 2 / 4),
        (f"red square 4 6 15 17, {BLUE}", 3 / 4),
        ("red circle 18 4 31 17, blue square 4 6 15 17", 0),
        (f"{RED}, {BLUE}, green cross 0 0 9 9", 4 / 6),
        (f"{RED}, {RED}", 2 / 4),
        (f"{RED}, {RED}, {BLUE}", 4 / 6),
        (f"red circle 0 0 5 5, {RED}, {BLUE}", 2 / 6),
        ("green cross 4 6 15 17", 0),
    ],
    ids=[
        "one thing missing",
        "one box wrong",
        "one shape word wrong",
        "boxes swapped",
        "an extra phrase",
        "one twice for the other",
        "one twice",
        "only the first placement of a thing counts",
        "a thing of no phrase",
    ],
)
def test_the_share_of_words_well_placed(text, expected, says):
    result = result_of(text, says)
    assert result.score == pytest.approx(expected)
    assert result.subscores["strict"] == 0


def test_a_box_counts_from_an_iou_of_one_half(says):
    # The true box is 11×11: 6 of 11 columns overlap by 0.545, 5 of 11 by 0.4545.
    assert result_of("red circle 4 6 10 17", says).score == 2 / 4
    assert result_of("red circle 4 6 9 17", says).score == 0


def test_the_mean_iou_is_over_the_things_of_the_sentence(says):
    result = result_of("red circle 4 6 10 17", says)
    assert result.subscores["mean_iou"] == pytest.approx((6 / 11) / 2)


@pytest.mark.parametrize(
    "box", ["15 6 4 17", "4 17 15 6", "4 6 4 17", "4 6 15 99", "33 6 44 17", "0 0 0 0"]
)
def test_an_empty_box_or_one_off_the_picture_is_wrong_but_read(box, says):
    assert result_of(f"red circle {box}, {BLUE}", says).score == 2 / 4


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "red circle",
        "4 6 15 17",
        "red circle 4 6 15",
        "red circle 4 6 15 17 18",
        "red circle -4 6 15 17",
        "red circle 4.0 6 15 17",
        "red circle ٤ 6 15 17",
        "red 4 6 15 17",
        f"{RED} {BLUE}",
        f"{RED}, and so on",
        f"{RED}, " * 1000,
        "9" * 100_000,
    ],
)
def test_what_is_no_list_of_placements_scores_zero(text, says):
    result = result_of(text, says)
    assert result.score == 0
    assert result.subscores == {"strict": 0, "mean_iou": 0}


def test_covering_the_whole_picture_does_not_pay(says):
    assert result_of("red circle 0 0 32 32, blue square 0 0 32 32", says).score == 0


def test_placements_are_read_with_their_phrases():
    assert read_placements("red circle 1 2 3 4, blue cross 9 9 1 1") == [
        (Phrase("red", "circle"), (1, 2, 3, 4)),
        (Phrase("blue", "cross"), None),
    ]
