"""Checks on answers whose score is known."""

import numpy as np
import pytest

from models.preprocessing.conversation import Picture, Role, Text, Turn
from models.preprocessing.images import encode_png
from services.common.checks import CHECKS
from services.common.checks.colours import cell_colours
from services.common.world.answers import InvalidReference


def _text(text: str) -> Turn:
    return Turn(Role.ASSISTANT, (Text(text),))


def _picture(pixels: np.ndarray) -> Turn:
    return Turn(Role.ASSISTANT, (Picture(encode_png(pixels.astype(np.uint8))),))


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("grinning face with big eyes", 1.0),
        ("Grinning face, with big eyes!", 1.0),
        ("face with big eyes grinning", 1.0),
        ("grinning face", 2 * 2 / (5 + 2)),
        ("face face face", 2 * 1 / (5 + 3)),
        ("a red car", 0.0),
        ("", 0.0),
    ],
)
def test_words_score_their_f1(answer, score):
    result = CHECKS["program/words"]({"answer": "grinning face with big eyes"}, _text(answer))
    assert result.score == pytest.approx(score)
    assert result.subscores["strict"] == float(score == 1)


def test_the_best_of_several_answers_counts():
    assert CHECKS["program/words"]({"answer": ["cat", "grey cat"]}, _text("cat")).score == 1.0


def test_a_picture_is_no_words_and_words_are_no_picture():
    picture = _picture(np.zeros((32, 32, 3)))
    assert CHECKS["program/words"]({"answer": "cat"}, picture).score == 0.0
    assert CHECKS["program/exact"]({"answer": "cat"}, picture).score == 0.0
    assert CHECKS["program/colours"]({"colours": [[0, 0, 0]] * 16}, _text("black")).score == 0.0


def test_colours_agree_cell_by_cell():
    wanted = np.zeros((32, 32, 3))
    wanted[:, 16:] = 64
    reference = {"colours": cell_colours(wanted.astype(np.uint8)).tolist()}
    check = CHECKS["program/colours"]
    assert check(reference, _picture(wanted)).score == pytest.approx(1)
    # Half of the cells are right, half are off by 64 of the 128 at which nothing agrees.
    half = check(reference, _picture(np.zeros((32, 32, 3))))
    assert half.score == pytest.approx(0.75)
    assert half.subscores["strict"] == 0.0
    assert check(reference, _picture(np.full((32, 32, 3), 255))).score == 0.0


def test_with_a_ground_an_empty_picture_is_worth_nothing():
    wanted = np.full((32, 32, 3), 138)
    wanted[8:16, 8:16] = (240, 220, 40)
    colours = cell_colours(wanted.astype(np.uint8)).tolist()
    reference = {"colours": colours, "ground": [138, 138, 138]}
    check = CHECKS["program/colours"]
    empty, paler = np.full_like(wanted, 138), (wanted + 138) // 2
    assert check({"colours": colours}, _picture(empty)).score > 0.9
    assert check(reference, _picture(empty)).score == 0.0
    assert check(reference, _picture(np.full_like(wanted, 255))).score == 0.0
    assert check(reference, _picture(paler)).score == pytest.approx(0.5, abs=0.01)
    assert check(reference, _picture(wanted)).score == pytest.approx(1)


def test_a_ground_that_is_no_colour_is_refused():
    reference = {"colours": [[0, 0, 0]] * 16, "ground": "grey"}
    with pytest.raises(InvalidReference, match="ground"):
        CHECKS["program/colours"](reference, _picture(np.zeros((32, 32, 3))))


@pytest.mark.parametrize("reference", [{}, {"colours": [[0, 0, 0]]}, {"colours": "red"}])
def test_a_reference_without_sixteen_colours_is_refused(reference):
    with pytest.raises(InvalidReference, match="colours"):
        CHECKS["program/colours"](reference, _picture(np.zeros((32, 32, 3))))


def test_the_name_of_another_digit_is_wrong():
    check = CHECKS["program/exact"]
    assert check({"answer": "seven"}, _text(" Seven. ")).score == 1.0
    assert check({"answer": "seven"}, _text("six")).score == 0.0
