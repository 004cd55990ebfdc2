"""Simulated raters: mostly right, noisy, fond of the left, and always of the same mind."""

from collections import Counter

import pytest

from models.preprocessing.conversation import Audio, Role, Text, Turn, Video
from services.common.world.checkers import check
from services.common.world.items import make_item
from services.common.world.raters import PairOutcome, SimulatedRater, simulated_panel

RIGHT = "a red circle left of a blue square"
HALF = "a red circle, a blue square"
POOR = "a green cross"
EXACT = SimulatedRater("exact", noise=0, left_bias=0, lapse_rate=0)
RELATIONS = [[0, "left of", 1]]
REFERENCE = {
    "things": [
        {"phrase": {"color": "red", "shape": "circle"}, "box": [4, 4, 15, 15]},
        {"phrase": {"color": "blue", "shape": "square"}, "box": [18, 4, 29, 15]},
    ],
    "relations": RELATIONS,
}


def test_a_rater_without_noise_follows_the_truth(says):
    right, half, poor = says(RIGHT), says(HALF), says(POOR)
    assert EXACT.judge_pair(REFERENCE, "caption", right, half) == PairOutcome.FIRST
    assert EXACT.judge_pair(REFERENCE, "caption", half, right) == PairOutcome.SECOND
    assert EXACT.judge_pair(REFERENCE, "caption", right, right) == PairOutcome.TIE
    assert EXACT.judge_pair(REFERENCE, "caption", poor, says("")) == PairOutcome.BOTH_BAD
    assert [EXACT.rate(REFERENCE, "caption", a) for a in (poor, half, right)] == [1, 4, 5]
    assert EXACT.rate(REFERENCE, "caption", right, scale_min=0, scale_max=10) == 10


def test_a_lean_to_the_left_decides_between_equals(says):
    leaning = SimulatedRater("leaning", noise=0, tie_margin=0.05, left_bias=0.2, lapse_rate=0)
    pair = (REFERENCE, "caption", says(RIGHT), says(RIGHT))
    assert leaning.judge_pair(*pair, first_is_left=True) == PairOutcome.FIRST
    assert leaning.judge_pair(*pair, first_is_left=False) == PairOutcome.SECOND


def outcomes(rater, first, second, num_items=400):
    return [
        rater.judge_pair(make_item("caption", "train", i).reference, "caption", first, second)
        for i in range(num_items)
    ]


def test_judgements_are_the_same_each_time_and_differ_between_raters_and_seeds(says):
    answers = says("a red circle"), says("a blue circle")

    def judged(name, seed):
        rater = SimulatedRater(name, seed, noise=0.5, both_bad_below=-1)
        return outcomes(rater, *answers, num_items=60)

    assert judged("one", 0) == judged("one", 0)
    assert judged("one", 0) != judged("two", 0)
    assert judged("one", 0) != judged("one", 1)


def test_equal_answers_are_seen_alike_however_noisy_the_rater(says):
    rater = SimulatedRater("noisy", noise=0.5, both_bad_below=-9, left_bias=0, lapse_rate=0)
    assert set(outcomes(rater, says(RIGHT), says(RIGHT))) == {PairOutcome.TIE}


def test_a_rater_of_lapses_only_clicks_at_random(says):
    counts = Counter(outcomes(SimulatedRater("absent", lapse_rate=1), says(RIGHT), says(POOR)))
    assert all(60 < counts[outcome] < 140 for outcome in PairOutcome)


def test_a_panel_is_mostly_right_where_answers_differ_and_not_always(says):
    num_right = num_judged = 0
    for rater in simulated_panel(5, seed=3):
        for index in range(100):
            item = make_item("caption", "train", index, level=2)
            poor = says(item.target_text.split(" a ")[-1])
            gap = 1 - check("caption", item.reference, poor).score
            if gap > 0:
                outcome = rater.judge_pair(item.reference, "caption", item.target, poor)
                num_judged += 1
                num_right += outcome == PairOutcome.FIRST
    assert num_judged > 200
    assert 0.85 < num_right / num_judged < 1


def test_a_panel_is_named_as_simulated_and_its_raters_differ():
    panel = simulated_panel(4, seed=1)
    assert [rater.name for rater in panel] == [f"simulated-{i}" for i in range(4)]
    assert len({rater.noise for rater in panel}) == 4
    assert panel == simulated_panel(4, seed=1) != simulated_panel(4, seed=2)


def test_drawings_are_judged_as_well():
    item, other = make_item("draw", "train", 0), make_item("draw", "train", 1)
    outcome = EXACT.judge_pair(item.reference, "draw", other.target, item.target)
    assert outcome == PairOutcome.SECOND


def test_answers_that_differ_in_sound_or_clip_alone_are_told_apart():
    rater = SimulatedRater(
        "noisy", noise=0.5, both_bad_below=-9, left_bias=0, tie_margin=1e-9, lapse_rate=0
    )
    for kind in (Audio, Video):
        answers = (Turn(Role.ASSISTANT, (kind(data),)) for data in (b"one", b"two"))
        assert PairOutcome.TIE not in outcomes(rater, *answers, num_items=20)


def test_a_broken_reference_is_an_error_and_no_judgement(says):
    with pytest.raises(ValueError, match="reference"):
        EXACT.rate({}, "caption", says(RIGHT))


def test_raters_judge_by_any_truth_that_they_are_given():
    def length(family, reference, answer):
        return min(len(answer.parts[0].text) / 10, 1.0)

    short, long = (Turn(Role.ASSISTANT, (Text(text),)) for text in ("ab", "abcdefghij"))
    outcomes = [
        rater.judge_pair({}, "anything", short, long) for rater in simulated_panel(20, 0, length)
    ]
    assert outcomes.count(PairOutcome.SECOND) >= 17
