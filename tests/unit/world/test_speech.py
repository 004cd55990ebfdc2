"""Spoken questions: no words to read, a voice of the split, and answers as in vqa."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from models.preprocessing.conversation import Audio, Picture
from services.common.world.checkers import check
from services.common.world.items import make_item
from services.common.world.media import Speech
from services.common.world.sampling import SPLITS
from services.common.world.speech.voices import voices_of


def recording_of(item):
    return item.exercise.prompt[0].contents[1]


def test_a_picture_is_shown_and_the_question_heard():
    item = make_item("speech", "train", 0)
    (turn,) = item.conversation
    assert [type(part) for part in turn.parts] == [Picture, Audio]
    assert item.prompt_text == ""
    assert item.prompt_pixels.shape == (32, 32, 3)
    assert item.exercise.spoken.endswith("?")
    assert item.exercise.spoken == recording_of(item).words
    assert 1 < len(recording_of(item).samples_T) / 16_000 < 6


def test_items_without_sound_speak_no_words():
    assert make_item("vqa", "train", 0).exercise.spoken is None


@pytest.mark.parametrize("family", ["speech", "transcribe", "dialogue"])
@pytest.mark.parametrize("split", SPLITS)
def test_only_voices_of_the_split_are_heard(family, split):
    heard = {
        content.voice.name
        for index in range(400)
        for turn in make_item(family, split, index).exercise.prompt
        for content in turn.contents
        if isinstance(content, Speech)
    }
    assert heard <= {voice.name for voice in voices_of(split)}
    assert len(heard) > 15


def test_sound_is_made_anew_for_each_item():
    first, second = (recording_of(make_item("speech", "train", i)).samples_T for i in (0, 1))
    assert not np.array_equal(first[:8000], second[:8000])


def test_no_constant_answer_scores_high():
    answers = defaultdict(Counter)
    for index in range(2500):
        reference = make_item("speech", "train", index).reference
        answers[reference["kind"]][reference["answer"]] += 1
    best = {k: c.most_common(1)[0][1] / sum(c.values()) for k, c in answers.items()}
    fair = {"color": 1 / 6, "shape": 1 / 4, "exists": 1 / 2, "count": 1 / 3, "relation": 1 / 2}
    fair |= {"which": 1 / 24}
    assert set(best) == set(fair)
    assert all(share <= fair[kind] + 0.08 for kind, share in best.items())


def test_answers_are_judged_as_in_vqa(says):
    reference = {"kind": "count", "answer": "2"}
    assert check("speech", reference, says("Two.")).score == 1
    assert check("speech", reference, says("3")).score == 0
