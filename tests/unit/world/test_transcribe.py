"""Transcripts of known words: right, partly right and wrong."""

from collections import Counter

import pytest

from models.preprocessing.conversation import Audio, Text
from services.common.world.families.transcribe import TranscriptReference, check_answer
from services.common.world.items import make_item
from services.common.world.sampling import SPLITS

REFERENCE = TranscriptReference(kind="question", transcript="what color is the circle?")


@pytest.mark.parametrize(
    "text",
    ["what color is the circle?", "What color is the circle", " what  color, is the\ncircle. "],
)
def test_the_words_said_score_one_whatever_case_or_punctuation(text, says):
    result = check_answer(REFERENCE, says(text))
    assert result.score == result.subscores["strict"] == 1


# Five words were said.
@pytest.mark.parametrize(
    ("text", "num_errors"),
    [
        ("what color is the square", 1),
        ("what color is circle", 1),
        ("what color is the the circle", 1),
        ("color what is the circle", 2),
        ("circle", 4),
        ("the circle", 3),
        ("what what color color is is the the circle circle", 5),
        ("", 5),
        ("yes", 5),
        ("is is is is is is is is is is", 5),
    ],
    ids=[
        "one changed",
        "one left out",
        "one put in",
        "two swapped",
        "the last alone",
        "the last two",
        "each twice",
        "nothing",
        "another word",
        "more errors than words",
    ],
)
def test_the_score_falls_with_the_word_error_rate(text, num_errors, says):
    result = check_answer(REFERENCE, says(text))
    assert result.score == pytest.approx(1 - num_errors / 5)
    assert result.subscores["strict"] == 0


def test_digits_may_be_figures(says):
    reference = TranscriptReference(kind="digits", transcript="seven three zero")
    assert check_answer(reference, says("7 3 0")).score == 1
    assert check_answer(reference, says("730")).score == 1
    assert check_answer(reference, says("7 3 1")).score == pytest.approx(2 / 3)


def test_an_endless_answer_scores_zero(says):
    assert check_answer(REFERENCE, says("what color is the circle? " * 1000)).score == 0


def test_a_transcript_without_words_is_no_reference():
    with pytest.raises(ValueError, match="transcript"):
        TranscriptReference(kind="question", transcript="?!")


def test_a_recording_is_heard_and_its_words_are_the_answer():
    kinds = Counter()
    for index in range(300):
        item = make_item("transcribe", "train", index)
        assert item.exercise.spoken == item.target_text
        assert item.prompt_text.startswith("transcribe")
        kinds[item.reference["kind"]] += 1
    assert set(kinds) == {"question", "sentence", "digits"}
    assert min(kinds.values()) > 70
    (turn,) = item.conversation
    assert [type(part) for part in turn.parts] == [Audio, Text]


def test_no_string_of_digits_is_in_two_splits():
    said = {
        split: {
            item.target_text
            for item in (make_item("transcribe", split, index) for index in range(1000))
            if item.reference["kind"] == "digits"
        }
        for split in SPLITS
    }
    assert all(len(strings) > 50 for strings in said.values())
    assert not said["train"] & (said["validation"] | said["heldout"])
    assert not said["validation"] & said["heldout"]
