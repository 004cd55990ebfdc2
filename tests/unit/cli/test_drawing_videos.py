from pathlib import Path

import numpy as np
import pytest

from models.preprocessing.video import frames_from_video
from services.cli.errors import UserError
from services.cli.experiments.drawing_videos.drawing import (
    Drawing,
    Stroke,
    at_another_pace,
    bent,
    played_backwards,
    with_fewer_strokes,
    with_strokes_shuffled,
)
from services.cli.experiments.drawing_videos.frames import frames, last_frame_in_colour
from services.cli.experiments.drawing_videos.importing import (
    NUM_FRAMES,
    SIDE,
    Shown,
    clip_gif,
    heldout_clips,
    training_clips,
)
from services.cli.experiments.drawing_videos.source import (
    ORIGINAL,
    REVERSED,
    hold_out,
    read_characters,
)

_DATA = Path(__file__).parents[4] / "shared" / "data" / "drawing-videos"


def _stroke(row: int, columns: range, begin: float, end: float) -> Stroke:
    """A line from left to right."""
    columns_N = np.array(columns)
    return Stroke(np.full(len(columns_N), row), columns_N, np.linspace(begin, end, len(columns_N)))


@pytest.fixture
def drawing():
    """A line above, a pause, a line below; then the drawing is shown for a while."""
    strokes = (_stroke(10, range(5, 60), 0.0, 0.4), _stroke(50, range(5, 60), 0.5, 0.8))
    return Drawing(strokes, 64, 5.0)


@pytest.fixture(scope="module")
def characters():
    if not _DATA.is_dir():
        pytest.skip(f"no data at {_DATA}")
    return read_characters(_DATA)


def test_a_reversed_clip_ends_in_the_same_frame_and_begins_where_the_original_ended(drawing):
    backwards = played_backwards(drawing)
    assert np.array_equal(frames(drawing, 8, 32)[-1], frames(backwards, 8, 32)[-1])
    first, last = backwards.arrival_SS.argmin(), drawing.arrival_SS == drawing.end
    assert last.ravel()[first]
    assert backwards.arrival_SS.min() == 0
    assert backwards.end == pytest.approx(drawing.end)


def test_backwards_twice_is_the_drawing(drawing):
    again = played_backwards(played_backwards(drawing))
    assert np.allclose(again.arrival_SS, drawing.arrival_SS)


@pytest.mark.parametrize("seed", range(6))
def test_shuffled_strokes_leave_the_same_ink_in_the_same_time_and_never_the_same_order(
    drawing, seed
):
    shuffled = with_strokes_shuffled(drawing, np.random.default_rng(seed))
    assert np.array_equal(shuffled.arrival_SS <= 1, drawing.arrival_SS <= 1)
    assert not np.allclose(shuffled.arrival_SS, drawing.arrival_SS)
    assert shuffled.end == pytest.approx(drawing.end)
    assert shuffled.arrival_SS.min() == pytest.approx(0)


def test_a_single_stroke_can_only_be_turned(drawing):
    line = Drawing(drawing.strokes[:1], 64, 5.0)
    turned = with_strokes_shuffled(line, np.random.default_rng(0))
    assert np.allclose(turned.arrival_SS, played_backwards(line).arrival_SS)


def test_another_pace_keeps_ink_order_and_end(drawing):
    paced = at_another_pace(drawing, np.random.default_rng(0))
    assert np.array_equal(paced.arrival_SS <= 1, drawing.arrival_SS <= 1)
    ink = drawing.arrival_SS <= 1
    order = np.argsort(drawing.arrival_SS[ink], kind="stable")
    assert (np.diff(paced.arrival_SS[ink][order]) >= -1e-9).all()
    assert paced.end == pytest.approx(drawing.end)


def test_some_strokes_of_a_drawing_keep_their_order_and_fill_its_time():
    strokes = tuple(_stroke(10 * n, range(5, 60), n / 4, n / 4 + 0.2) for n in range(4))
    drawing = Drawing(strokes, 64, 5.0)
    rows = set()
    for seed in range(20):
        fewer = with_fewer_strokes(drawing, np.random.default_rng(seed))
        order = tuple(int(s.rows_N[0]) for s in fewer.strokes)
        assert order == tuple(sorted(order))
        assert len(order) >= 2
        assert fewer.end == pytest.approx(drawing.end)
        rows.add(order)
    assert len(rows) > 4
    two = Drawing(strokes[:2], 64, 5.0)
    assert with_fewer_strokes(two, np.random.default_rng(1)) is two


def test_a_bent_drawing_still_goes_from_left_to_right(drawing):
    for seed in range(8):
        for stroke in bent(drawing, np.random.default_rng(seed)).strokes:
            assert stroke.columns_N[-1] > stroke.columns_N[0] + 20
            assert 0 <= stroke.rows_N.min() <= stroke.rows_N.max() < 64


def test_a_clip_is_decoded_to_the_frames_that_it_was_made_of(drawing):
    decoded = frames_from_video(clip_gif(drawing), SIDE, NUM_FRAMES)
    made = frames(drawing, NUM_FRAMES, SIDE)
    assert np.array_equal(made[-1], made[-2]), "the drawing is finished and shown for a while"
    assert np.array_equal(decoded.frames, made)
    assert decoded.times_s[-1] == pytest.approx(drawing.seconds, abs=0.1)


@pytest.mark.parametrize("scale", [0.3, 1.0])
def test_ink_fills_the_picture_however_small_it_was_drawn(scale):
    stroke = _stroke(40, range(5, 5 + round(55 * scale)), 0.0, 1.0)
    [_, last] = frames(Drawing((stroke,), 64, 5.0), 2, SIDE)
    is_ink = (last != last[0, 0]).any(axis=2)
    assert is_ink.any(axis=0).sum() > 0.7 * SIDE
    middle = is_ink.any(axis=1).nonzero()[0].mean()
    assert middle == pytest.approx(SIDE / 2, abs=2)


def test_the_first_frame_has_some_ink(drawing):
    first, last = frames(drawing, NUM_FRAMES, SIDE)[[0, -1]]
    ground = last[0, 0]
    assert 0 < (first != ground).sum() < (last != ground).sum() / 2


def test_the_last_frame_alone_is_one_frame(drawing):
    for shown in (Shown.LAST_FRAME, Shown.LAST_FRAME_IN_COLOUR):
        assert len(frames_from_video(clip_gif(drawing, shown), SIDE, NUM_FRAMES).frames) == 1


def test_colours_tell_the_order_of_strokes(drawing):
    shown = last_frame_in_colour(drawing, 64).astype(int)
    rows = shown - shown.min(axis=2, keepdims=True) > 128  # ink has a colour, what is around none
    assert rows[:32].any(axis=(0, 1)).tolist() == [True, False, False]
    assert rows[32:].any(axis=(0, 1)).tolist() == [False, True, False]


@pytest.mark.data
def test_no_character_is_on_both_sides_of_a_fold_and_each_is_held_out_once(characters):
    held_out = []
    for fold in range(5):
        splits = hold_out(characters, fold, 5)
        numbers = {split: {c.number for c in some} for split, some in splits.items()}
        assert not numbers["train"] & numbers["heldout"]
        held_out += numbers["heldout"]
        train = {clip.name.split("-")[0] for clip in training_clips(splits["train"][:2], 1, 0)}
        heldout = {clip.name.split("-")[0] for clip in heldout_clips(splits["heldout"], 0)}
        assert not train & heldout
    assert sorted(held_out) == list(range(1, 31))


@pytest.mark.data
def test_each_question_is_asked_as_often_of_originals_and_the_last_frame_does_not_tell(characters):
    clips = list(heldout_clips(characters[:6], 0))
    for original, other in zip(clips[::2], clips[1::2], strict=True):
        assert (original.answer, other.answer) == (False, True)
        assert original.question == other.question
        last, other_last = (frames(c.drawing, 8, SIDE)[-1] for c in (original, other))
        assert np.abs(last.astype(float) - other_last).mean() < 3


@pytest.mark.data
def test_of_four_characters_the_shuffled_clip_is_the_original(characters):
    assert [c.number for c in characters if not c.is_shuffled] == [1, 5, 14, 19]


@pytest.mark.data
def test_the_reversed_clips_of_the_data_are_as_those_made_of_the_ink(characters):
    for character in characters[:8]:
        made = played_backwards(character.drawings[ORIGINAL]).arrival_SS
        given = character.drawings[REVERSED].arrival_SS
        both = (made <= 1) & (given <= 1)
        assert np.corrcoef(made[both], given[both])[0, 1] > 0.98
        assert np.abs(made[both] - given[both]).mean() < 0.05


def test_a_folder_without_clips_is_said_with_what_it_should_hold(tmp_path):
    with pytest.raises(UserError, match=r"holds no mov_people"):
        read_characters(tmp_path)
