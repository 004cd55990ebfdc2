"""Captions of a scene laid out by hand: each way to be right, partly right and wrong."""

import pytest

from services.common.world.answers import SceneReference
from services.common.world.families.caption import check_answer
from services.common.world.families.exercise import reference_of
from services.common.world.language import MAX_ANSWER_CHARS
from services.common.world.scenes import COLORS, SHAPES, Scene, Thing

CORNERS = ((7, 7), (24, 7), (7, 24), (24, 24))
LOOKS = (("red", "circle"), ("blue", "square"), ("green", "cross"), ("yellow", "triangle"))


def reference(num_things: int, names_sizes: bool = False) -> SceneReference:
    radii = (5, 7, 5, 7)
    things = [
        Thing(*look, *at, radius) for look, at, radius in zip(LOOKS, CORNERS, radii, strict=True)
    ][:num_things]
    scene = Scene(tuple(things), names_sizes)
    return reference_of(scene, scene.relations())


@pytest.mark.parametrize(
    "text",
    [
        "a red circle left of a blue square",
        "a blue square right of a red circle",
        "there is a red circle and a blue square, the blue square is right of the red circle.",
    ],
)
def test_a_full_caption_scores_one_in_each_order(text, says):
    result = check_answer(reference(2), says(text))
    assert result.score == 1
    assert result.subscores == {"strict": 1, "readable": 1}


# Two things and one relation are wanted: 3 facts. F1 = 2 · right / (stated + 3).
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a red circle", 2 * 1 / (1 + 3)),
        ("a red circle, a blue square", 2 * 2 / (2 + 3)),
        ("a red circle right of a blue square", 2 * 2 / (3 + 3)),
        ("a red circle above a blue square", 2 * 2 / (3 + 3)),
        ("a blue circle left of a red square", 0),
        ("a red circle left of a blue cross", 2 * 1 / (3 + 3)),
        ("a red circle left of a blue square, a green cross", 2 * 3 / (4 + 3)),
        ("a small red circle left of a blue square", 2 * 3 / (4 + 3)),
        ("a green cross above a yellow triangle", 0),
    ],
    ids=[
        "one thing missing",
        "relation missing",
        "relation turned",
        "relation of the other axis",
        "colors swapped",
        "shape wrong",
        "a thing too many",
        "a size that is not told here",
        "all wrong",
    ],
)
def test_a_partly_right_caption_scores_the_f1_of_its_facts(text, expected, says):
    result = check_answer(reference(2), says(text))
    assert result.score == pytest.approx(expected)
    assert result.subscores["strict"] == 0


@pytest.mark.parametrize("text", ["", "hello", "red", "a red circle left of", "x" * 100_000])
def test_an_unreadable_caption_scores_zero(text, says):
    result = check_answer(reference(2), says(text))
    assert result.score == 0
    assert result.subscores == {"strict": 0, "readable": 0}


def test_repeating_a_statement_lowers_the_score(says):
    full = "a red circle left of a blue square"
    twice = check_answer(reference(2), says(f"{full}, {full}")).score
    thrice = check_answer(reference(2), says(f"{full}, {full}, {full}")).score
    assert (twice, thrice) == (pytest.approx(6 / 7), pytest.approx(6 / 8))


def test_a_relation_told_both_ways_round_counts_once_and_as_repeated(says):
    text = "a red circle left of a blue square, the blue square right of the red circle"
    assert check_answer(reference(2), says(text)).score == pytest.approx(6 / 7)


def test_telling_all_relations_between_two_things_does_not_pay(says):
    words = ("left of", "right of", "above", "below")
    text = ", ".join(f"red circle {word} blue square" for word in words)
    assert check_answer(reference(2), says(text)).score == pytest.approx(2 * 3 / (2 + 4 + 3))


def test_listing_as_many_things_as_fit_does_not_pay(says):
    listed = ""
    for color in COLORS:
        for shape in SHAPES:
            longer = f"{listed}, {color} {shape}" if listed else f"{color} {shape}"
            listed = longer if len(longer) <= MAX_ANSWER_CHARS else listed
    assert check_answer(reference(2), says(listed)).score < 0.2


def test_three_things_need_two_relations_and_any_true_two_do(says):
    canonical = "a red circle left of a blue square, a green cross below the red circle"
    assert check_answer(reference(3), says(canonical)).score == 1
    one_relation = "a red circle left of a blue square, a green cross"
    assert check_answer(reference(3), says(one_relation)).score == pytest.approx(2 * 4 / (4 + 5))


def test_a_true_relation_beyond_those_wanted_neither_helps_nor_harms(says):
    text = (
        "a red circle left of a blue square, a green cross below the red circle, "
        "a yellow triangle below the blue square"
    )
    more = f"{text}, the yellow triangle right of the green cross"
    assert check_answer(reference(4), says(text)).score == 1
    assert check_answer(reference(4), says(more)).score == 1
    partly = "a red circle left of a blue square, a green cross below the red circle"
    assert check_answer(reference(4), says(partly)).score == pytest.approx(2 * 5 / (5 + 7))


def test_where_sizes_are_told_they_are_facts(says):
    sized = reference(2, names_sizes=True)
    assert check_answer(sized, says("a small red circle left of a large blue square")).score == 1
    for text, expected in [
        ("a red circle left of a blue square", 2 * 3 / (3 + 5)),
        ("a large red circle left of a large blue square", 2 * 4 / (5 + 5)),
    ]:
        assert check_answer(sized, says(text)).score == pytest.approx(expected)
