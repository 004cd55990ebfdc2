"""Sentences are written as laid down and read in every allowed form."""

from random import Random

import pytest

from services.common.world.language import (
    MAX_ANSWER_CHARS,
    Phrase,
    Statement,
    normalized,
    read_phrase,
    read_sentence,
    sentence_of,
    statements_of,
)
from services.common.world.sampling import LEVELS, sample_scene
from services.common.world.scenes import Scene, Thing

TOP_LEFT, TOP_RIGHT, BOTTOM_LEFT, BOTTOM_RIGHT = (6, 6), (24, 6), (6, 24), (24, 24)
RED, BLUE = Phrase("red", "circle"), Phrase("blue", "square")


def corners(*centers, names_sizes=False):
    looks = (("red", "circle"), ("blue", "square"), ("green", "cross"), ("yellow", "triangle"))
    things = [Thing(*look, *at, 5) for look, at in zip(looks, centers, strict=False)]
    return Scene(tuple(things), names_sizes)


@pytest.mark.parametrize(
    ("centers", "sentence"),
    [
        ((TOP_LEFT,), "a red circle"),
        ((TOP_LEFT, TOP_RIGHT), "a red circle left of a blue square"),
        ((TOP_LEFT, BOTTOM_LEFT), "a red circle above a blue square"),
        (
            (TOP_LEFT, TOP_RIGHT, BOTTOM_LEFT),
            "a red circle left of a blue square, a green cross below the red circle",
        ),
        (
            (TOP_LEFT, TOP_RIGHT, BOTTOM_RIGHT),
            "a red circle left of a blue square, a green cross below the blue square",
        ),
        (
            (TOP_LEFT, BOTTOM_LEFT, BOTTOM_RIGHT),
            "a red circle above a blue square, a green cross right of the blue square",
        ),
        (
            (TOP_RIGHT, BOTTOM_LEFT, BOTTOM_RIGHT),
            "a red circle above a green cross, a blue square left of the green cross",
        ),
        (
            (TOP_LEFT, TOP_RIGHT, BOTTOM_LEFT, BOTTOM_RIGHT),
            "a red circle left of a blue square, a green cross below the red circle, "
            "a yellow triangle below the blue square",
        ),
    ],
)
def test_the_canonical_sentence_of_each_layout(centers, sentence):
    assert sentence_of(corners(*centers)) == sentence


def test_sizes_are_told_once():
    scene = corners(TOP_LEFT, TOP_RIGHT, BOTTOM_LEFT, names_sizes=True)
    assert sentence_of(scene) == (
        "a small red circle left of a small blue square, a small green cross below the red circle"
    )


def test_prompts_turn_the_first_relation_round_half_the_time():
    scene = corners(TOP_LEFT, BOTTOM_LEFT)
    told = [sentence_of(scene, statements_of(scene, Random(seed))) for seed in range(200)]
    assert set(told) == {"a red circle above a blue square", "a blue square below a red circle"}
    assert 70 < told.count("a red circle above a blue square") < 130


@pytest.mark.parametrize("level", LEVELS)
def test_each_sentence_that_is_written_can_be_read(level):
    rng = Random(level)
    for _ in range(300):
        scene = sample_scene(rng, LEVELS[level])
        told = statements_of(scene, rng)
        assert len(told) == len(scene.things) - 1
        statements = read_sentence(sentence_of(scene, told))
        assert statements is not None
        assert len(statements) == max(len(told), 1)


@pytest.mark.parametrize(
    "text",
    [
        "a red circle left of a blue square",
        "red circle left of blue square.",
        "  A Red Circle   is to the left of the blue square ",
        "there is a red circle to the left of a blue square",
    ],
)
def test_a_relation_is_read_in_each_allowed_form(text):
    assert read_sentence(text) == [Statement(RED, "left of", BLUE)]


@pytest.mark.parametrize(
    "text",
    [
        "a red circle, a blue square",
        "a red circle and a blue square",
        "a red circle; a blue square",
        "there is a red circle, and a blue square.",
    ],
)
def test_things_are_read_however_they_are_joined(text):
    assert read_sentence(text) == [Statement(RED), Statement(BLUE)]


def test_sizes_are_read():
    assert read_phrase("the large red circle") == Phrase("red", "circle", "large")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        ",",
        "hello",
        "red",
        "circle red",
        "a pink circle",
        "a red circle,, a blue square",
        "a red circle a blue square",
        "a red circle beside a blue square",
        "a red circle above",
        "a red circle above a blue square above a green cross",
        "red circle\x00",
        "a red circle, " * 40,
        "a" * (MAX_ANSWER_CHARS + 1),
        "\ud800",
    ],
)
def test_what_is_not_of_the_language_is_not_read(text):
    assert read_sentence(text) is None


def test_normalizing_leaves_single_spaces_and_no_full_stop():
    assert normalized("  A  Red\nCircle . ") == "a red circle"
