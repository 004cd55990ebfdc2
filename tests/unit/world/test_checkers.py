"""The one entry to all checkers: what it accepts, and what it refuses as a caller's mistake."""

import pytest

from models.preprocessing.conversation import Picture, Role, Text, TokenIds, Turn
from services.common.world.answers import InvalidAnswer, InvalidReference, WorldError
from services.common.world.checkers import check
from services.common.world.families.exercise import ALL_FAMILIES
from services.common.world.items import make_item

TEXT_FAMILIES = tuple(family for family in ALL_FAMILIES if family != "draw")


@pytest.mark.parametrize("family", ALL_FAMILIES)
@pytest.mark.parametrize("text", ["", " ", "\x00", "no idea", "a" * 1_000_000, "🙂", "\ud800"])
def test_any_words_at_all_that_are_wrong_score_zero(family, text):
    reference = make_item(family, "train", 0).reference
    assert check(family, reference, Turn(Role.ASSISTANT, (Text(text),))).score == 0


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_an_answer_without_parts_scores_zero(family):
    assert (
        check(family, make_item(family, "train", 0).reference, Turn(Role.ASSISTANT, ())).score == 0
    )


@pytest.mark.parametrize("family", TEXT_FAMILIES)
def test_a_picture_where_words_were_asked_scores_zero_even_beside_the_right_words(family):
    item = make_item(family, "train", 0)
    picture = make_item("draw", "train", 0).target.parts[0]
    for parts in ((picture,), (*item.target.parts, picture), (Picture(b"junk"),)):
        assert check(family, item.reference, Turn(Role.ASSISTANT, parts)).score == 0


@pytest.mark.parametrize("family", TEXT_FAMILIES)
def test_words_in_several_parts_are_read_as_one(family):
    item = make_item(family, "train", 0)
    words = item.target_text
    parts = (Text(words[:2]), Text(words[2:]))
    assert check(family, item.reference, Turn(Role.ASSISTANT, parts)).score == 1


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_tokens_that_were_not_decoded_are_an_error(family):
    tokens = Turn(Role.ASSISTANT, (TokenIds((1, 2, 3), "fingerprint"),))
    with pytest.raises(InvalidAnswer, match="decode them"):
        check(family, make_item(family, "train", 0).reference, tokens)


@pytest.mark.parametrize("family", ALL_FAMILIES)
@pytest.mark.parametrize("reference", [{}, {"answer": ""}, {"things": [], "relations": []}])
def test_a_reference_that_is_not_valid_is_an_error(family, reference, says):
    with pytest.raises(InvalidReference, match="the reference is not valid"):
        check(family, reference, says("yes"))


RED = {"phrase": {"color": "red", "shape": "circle", "size": None}, "box": [4, 4, 15, 15]}
BLUE = {"phrase": {"color": "blue", "shape": "square", "size": None}, "box": [18, 4, 29, 15]}


@pytest.mark.parametrize(
    ("things", "relations", "complaint"),
    [
        ([RED, RED], [], "distinct colors"),
        ([RED, BLUE], [[0, "above", 2]], "two different things"),
        ([RED, BLUE], [[-1, "above", 0]], "two different things"),
        ([RED, BLUE], [[1, "above", 1]], "two different things"),
        ([RED, BLUE], [[0, "beside", 1]], "relations"),
        ([{**RED, "box": [4, 4, 4, 15]}], [], "box"),
        ([{**RED, "box": [4, 4, 40, 15]}], [], "box"),
        ([{**RED, "phrase": {"color": "pink", "shape": "circle"}}], [], "color"),
        ([{**RED, "phrase": {**RED["phrase"], "size": "small"}}, BLUE], [], "sizes"),
        ([{**RED, "note": 1}], [], "note"),
    ],
)
def test_each_fault_of_a_scene_reference_is_named(things, relations, complaint, says):
    with pytest.raises(InvalidReference, match=complaint):
        check("caption", {"things": things, "relations": relations}, says("a red circle"))


def test_an_unknown_family_is_refused_with_those_there_are(says):
    with pytest.raises(ValueError, match="family is 'sing'; choose one of caption, vqa"):
        check("sing", {}, says("la"))


def test_world_errors_are_value_errors():
    assert issubclass(InvalidReference, WorldError)
    assert issubclass(InvalidAnswer, WorldError)
    assert issubclass(WorldError, ValueError)
