"""Dialogues: who speaks when and of what, and that only the first picture has the answer."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from models.preprocessing.conversation import Audio, Role
from services.common.world.checkers import check
from services.common.world.families import dialogue
from services.common.world.items import make_item
from services.common.world.media import Clip, Speech
from services.common.world.sampling import LEVELS

PICTURE_TOKENS, CLIP_TOKENS, TOKENS_PER_S = 64, 128, 13


def dialogues(level=3, count=300):
    return [make_item("dialogue", "train", index, level) for index in range(count)]


def kind_of(content):
    return {str: "text", np.ndarray: "picture", Speech: "speech", Clip: "clip"}[type(content)]


def test_turns_alternate_and_the_user_has_the_last_word():
    lengths = Counter()
    for item in dialogues():
        roles = [turn.role for turn in item.exercise.prompt]
        assert roles[::2] == [Role.USER] * (len(roles) // 2 + 1)
        assert roles[1::2] == [Role.ASSISTANT] * (len(roles) // 2)
        lengths[len(roles)] += 1
    assert set(lengths) == {5, 7}
    assert min(lengths.values()) > 50


def test_the_first_turn_shows_the_picture_and_later_ones_other_things():
    media = Counter()
    for item in dialogues():
        first, *others, last = [turn for turn in item.exercise.prompt if turn.role is Role.USER]
        assert [kind_of(content) for content in first.contents] == ["picture", "text"]
        assert first.contents[0] is item.prompt_pixels
        for turn in others:
            media["+".join(map(kind_of, turn.contents))] += 1
            assert not np.array_equal(turn.contents[0], first.contents[0])
        assert len(last.contents) == 1
    assert set(media) == {"picture+text", "picture+speech", "clip+text", "speech"}
    assert min(media.values()) > 30


def test_the_last_question_is_about_the_first_picture_and_spoken_two_times_in_three():
    num_spoken = 0
    for item in dialogues(count=600):
        (question,) = item.exercise.prompt[-1].contents
        is_spoken = isinstance(question, Speech)
        words = question.words if is_spoken else question
        assert words.endswith(" in the first picture?")
        num_spoken += is_spoken
    assert num_spoken / 600 == pytest.approx(2 / 3, abs=0.07)


def test_one_voice_speaks_in_a_dialogue():
    for item in dialogues(count=100):
        contents = [content for turn in item.exercise.prompt for content in turn.contents]
        assert len({c.voice.name for c in contents if isinstance(c, Speech)}) <= 1


def test_the_same_words_are_asked_of_pictures_with_other_answers():
    answers = defaultdict(set)
    for item in dialogues(level=2, count=3000):
        (question,) = item.exercise.prompt[-1].contents
        answers[question.words if isinstance(question, Speech) else question].add(item.target_text)
    frequent = ["how many things are there in the first picture?"]
    frequent += [f"what color is the {s} in the first picture?" for s in ("circle", "square")]
    assert all(len(answers[question]) >= 2 for question in frequent)


def test_what_was_answered_before_is_no_better_than_chance():
    """The most frequent answer to the kind of question, with the first answer and without."""
    counts, right = defaultdict(Counter), Counter()
    for item in dialogues(level=4, count=2500):
        talk = [turn.contents for turn in item.exercise.prompt]
        opening = (talk[0][1], talk[1][0]) if talk[0][1].endswith("?") else ()
        kind = item.reference["kind"]
        for key in ((kind, "alone"), (kind, *opening)):
            if counts[key]:
                right[key[1:] == ("alone",)] += counts[key].most_common(1)[0][0] == item.target_text
            counts[key][item.target_text] += 1
    assert right[False] < right[True] + 100


@pytest.mark.parametrize("level", LEVELS)
def test_a_first_question_is_of_a_kind_that_does_not_help_with_the_last(level):
    num_asked = 0
    for item in dialogues(level, count=200):
        opening = item.exercise.prompt[0].contents[1]
        acknowledged = item.exercise.prompt[1].contents[0]
        if opening in dialogue.OPENINGS:
            assert acknowledged == dialogue.ACKNOWLEDGEMENT
            continue
        num_asked += 1
        kind = item.reference["kind"]
        if opening.startswith("how many"):
            assert kind != "count"
        elif opening.startswith("what shape"):
            assert kind in ("count", "relation", "size", "same")
        else:
            assert opening.startswith("what color")
            assert kind in ("relation", "size")
    assert (num_asked > 40) == (level > 1)


def test_dialogues_fit_in_four_hundred_tokens():
    for item in dialogues(level=4, count=60):
        num_tokens = 0
        for turn in item.exercise.prompt:
            for content in turn.contents:
                match content:
                    case str():
                        num_tokens += len(content.split()) + 2
                    case Speech():
                        num_tokens += TOKENS_PER_S * len(content.samples_T) / 16_000
                    case Clip():
                        num_tokens += CLIP_TOKENS
                    case _:
                        num_tokens += PICTURE_TOKENS
        assert num_tokens < 400


def test_services_see_the_roles_and_the_recordings():
    item = next(item for item in dialogues() if item.exercise.spoken)
    assert [turn.role for turn in item.conversation[:3]] == [Role.USER, Role.ASSISTANT, Role.USER]
    parts = [part for turn in item.conversation for part in turn.parts]
    assert sum(isinstance(part, Audio) for part in parts) == item.exercise.spoken.count("\n") + 1
    assert item.prompt_text.count("\n") > 1


def test_answers_are_judged_as_in_vqa(says):
    reference = {"kind": "color", "answer": "red"}
    assert check("dialogue", reference, says("Red.")).score == 1
    assert check("dialogue", reference, says("blue")).score == 0
