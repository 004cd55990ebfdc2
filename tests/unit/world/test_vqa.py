"""Questions: each kind's answer against scenes laid out by hand, and what guessing earns."""

from collections import Counter, defaultdict
from random import Random

import pytest

from services.common.world import questions
from services.common.world.families.vqa import AnswerReference, check_answer
from services.common.world.items import make_item
from services.common.world.sampling import LEVELS
from services.common.world.scenes import Scene, Thing

RED_CIRCLE = Thing("red", "circle", 6, 6, 5)
BLUE_SQUARE = Thing("blue", "square", 24, 6, 7)
GREEN_CIRCLE = Thing("green", "circle", 6, 24, 5)
SCENE = Scene((RED_CIRCLE, BLUE_SQUARE, GREEN_CIRCLE), names_sizes=True)
ALONE = Scene((RED_CIRCLE,))


def asked(make, scene, wanted=""):
    """All that the maker asks of the scene, over many random streams."""
    return {make(scene, Random(seed), wanted) for seed in range(300)}


def test_the_color_is_asked_of_a_shape_that_is_there_once():
    assert asked(questions.ask_color, SCENE) == {("what color is the square?", "blue")}
    assert asked(questions.ask_color, Scene((RED_CIRCLE, GREEN_CIRCLE))) == {None}


def test_the_shape_is_asked_of_any_color():
    assert asked(questions.ask_shape, SCENE) == {
        ("what shape is the red thing?", "circle"),
        ("what shape is the blue thing?", "square"),
        ("what shape is the green thing?", "circle"),
    }


def test_what_exists_is_there_and_what_does_not_shares_a_color_or_shape():
    assert asked(questions.ask_exists, ALONE, "yes") == {("is there a red circle?", "yes")}
    absent = {question for question, answer in asked(questions.ask_exists, ALONE, "no")}
    assert absent == {
        *(f"is there a red {shape}?" for shape in ("square", "triangle", "cross")),
        *(f"is there a {c} circle?" for c in ("green", "blue", "yellow", "purple", "cyan")),
    }


def test_things_are_counted_only_when_the_wanted_number_is_there():
    assert asked(questions.ask_count, SCENE, "3") == {("how many things are there?", "3")}
    assert asked(questions.ask_count, SCENE, "2") == {None}


def test_each_relation_is_asked_both_ways_round_and_truly():
    assert asked(questions.ask_relation, SCENE, "yes") == {
        ("is the red circle left of the blue square?", "yes"),
        ("is the blue square right of the red circle?", "yes"),
        ("is the red circle above the green circle?", "yes"),
        ("is the green circle below the red circle?", "yes"),
    }
    assert asked(questions.ask_relation, SCENE, "no") == {
        ("is the red circle right of the blue square?", "no"),
        ("is the blue square left of the red circle?", "no"),
        ("is the red circle below the green circle?", "no"),
        ("is the green circle above the red circle?", "no"),
    }


def test_which_thing_lies_so_is_asked_in_all_four_directions():
    assert asked(questions.ask_which, SCENE) == {
        ("what is left of the blue square?", "red circle"),
        ("what is right of the red circle?", "blue square"),
        ("what is above the green circle?", "red circle"),
        ("what is below the red circle?", "green circle"),
    }


def test_sizes_are_asked_of_things_that_have_the_wanted_one():
    assert asked(questions.ask_size, SCENE, "large") == {("what size is the blue square?", "large")}
    assert asked(questions.ask_size, ALONE, "large") == {None}


def test_sameness_of_shape_is_asked_as_wanted():
    same = {"are the red and the green thing of the same shape?"}
    same |= {"are the green and the red thing of the same shape?"}
    assert {q and q[0] for q in asked(questions.ask_same, SCENE, "yes")} == {*same, None}
    others = {q[0] for q in asked(questions.ask_same, SCENE, "no") if q}
    assert len(others) == 4
    assert all("blue" in question for question in others)


@pytest.mark.parametrize("level", LEVELS)
def test_each_kind_is_asked_equally_often_and_a_constant_answer_scores_low(level):
    answers = defaultdict(Counter)
    num_items = 4000
    for index in range(num_items):
        reference = make_item("vqa", "train", index, level).reference
        answers[reference["kind"]][reference["answer"]] += 1
    kinds = questions.question_kinds(LEVELS[level])
    assert set(answers) == set(kinds)
    best_constant = {}
    for kind, counts in answers.items():
        num_asked = sum(counts.values())
        assert num_asked == pytest.approx(num_items / len(kinds), rel=0.2)
        best_constant[kind] = counts.most_common(1)[0][1] / num_asked
    fair = {"color": 1 / 6, "shape": 1 / 4, "exists": 1 / 2, "relation": 1 / 2, "which": 1 / 24}
    fair |= {"count": 1 / LEVELS[level].max_count, "size": 1 / 2, "same": 1 / 2}
    for kind, share in best_constant.items():
        assert share <= fair[kind] + 0.06
    overall = sum(answers.values(), Counter()).most_common(1)[0][1] / num_items
    assert overall <= 0.25


@pytest.mark.parametrize("split", ["heldout", "validation"])
def test_no_constant_answer_scores_high_on_other_splits(split):
    answers = defaultdict(Counter)
    for index in range(3000):
        reference = make_item("vqa", split, index).reference
        answers[reference["kind"]][reference["answer"]] += 1
    best = {k: c.most_common(1)[0][1] / sum(c.values()) for k, c in answers.items()}
    assert best.pop("color") <= 0.3
    assert best.pop("shape") <= 0.4
    assert best.pop("which") <= 0.15
    assert max(best.values()) <= 0.56


@pytest.mark.parametrize(
    "text", ["red circle", "Red Circle.", "a red circle", " the  red\ncircle "]
)
def test_the_answer_is_matched_whatever_case_article_or_full_stop(text, says):
    result = check_answer(AnswerReference(kind="which", answer="red circle"), says(text))
    assert result.score == result.subscores["strict"] == 1


@pytest.mark.parametrize(
    "text", ["", ".", "the", "red", "circle", "circle red", "red circle blue", "x" * 100_000]
)
def test_other_words_score_zero(text, says):
    assert check_answer(AnswerReference(kind="which", answer="red circle"), says(text)).score == 0


def test_yes_and_no_together_score_zero(says):
    assert check_answer(AnswerReference(kind="exists", answer="yes"), says("yes no")).score == 0


def test_numbers_may_be_words(says):
    reference = AnswerReference(kind="count", answer="2")
    assert check_answer(reference, says("two")).score == 1
    assert check_answer(reference, says("three")).score == 0
