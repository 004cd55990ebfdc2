import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from services.cli.errors import UserError
from services.cli.experiments.emoji.bounds import caption_bounds, ceiling, draw_bounds
from services.cli.experiments.emoji.importing import rows_of, write_pictures
from services.cli.experiments.emoji.source import Emoji, read_emoji, split_by_subgroup
from services.cli.experiments.task_file import write_task
from services.common.checks import CHECKS
from services.common.dataset import JsonlSource

_DATA = Path(__file__).parents[4] / "shared" / "data" / "openmoji"


def _emoji(name: str, subgroup: str, colour: tuple[int, int, int]) -> Emoji:
    return Emoji(name.replace(" ", "").upper(), name, subgroup, Image.new("RGB", (72, 72), colour))


@pytest.fixture
def splits():
    return {
        "train": [
            _emoji("red face", "smileys-emotion/face", (255, 0, 0)),
            _emoji("sad face", "smileys-emotion/face", (0, 0, 0)),
        ],
        "heldout": [_emoji("red ball", "activities/game", (250, 0, 0))],
    }


@pytest.fixture(scope="module")
def emoji():
    if not _DATA.is_dir():
        pytest.skip(f"no data at {_DATA}")
    return read_emoji(_DATA)


@pytest.mark.data
def test_names_are_unique_and_no_skin_tone_or_trade_mark_is_among_them(emoji):
    assert len(emoji) > 1000
    assert len({e.name for e in emoji}) == len(emoji)
    assert not any("skin tone" in e.name or e.subgroup.endswith("brand") for e in emoji)
    assert {e.picture.size for e in emoji} == {(72, 72)}


@pytest.mark.data
def test_no_subgroup_is_on_both_sides_and_the_split_is_always_the_same(emoji):
    splits = split_by_subgroup(emoji, 0.25, seed=0)
    groups = {split: {e.subgroup for e in some} for split, some in splits.items()}
    assert not groups["train"] & groups["heldout"]
    assert 0.1 < len(splits["heldout"]) / len(emoji) < 0.4
    again = split_by_subgroup(emoji, 0.25, seed=0)
    assert [e.name for e in again["heldout"]] == [e.name for e in splits["heldout"]]


def test_both_tasks_read_as_tasks(splits, tmp_path):
    paths = {}
    for split, some in splits.items():
        paths |= write_pictures(some, tmp_path / split)
    named, drawn = (
        JsonlSource(write_task(tmp_path / f"{task}.jsonl", rows_of(task, splits, paths)), "heldout")
        for task in ("caption", "draw")
    )
    [caption], [draw] = named.items(), drawn.items()
    assert caption.target.parts[0].text == "activities: red ball"
    assert draw.output == "image"
    assert draw.conversation[0].parts[0].text == "draw red ball."
    result = CHECKS["program/colours"](draw.reference, draw.target)
    assert (result.score, result.subscores["strict"]) == (pytest.approx(1, abs=1e-3), 1.0)
    assert CHECKS["program/words"](caption.reference, caption.target).score == 1.0


def test_floors_of_captions_on_known_names(splits):
    values = {b.name: b.value for b in caption_bounds(splits, 0)}
    assert values["always 'smileys emotion'"] == 0
    # "smileys emotion red face" and "activities red ball" share one word of four and three.
    assert values["caption of the nearest training picture"] == pytest.approx(2 / 7)


def test_floors_and_ceiling_of_drawings_on_known_colours(splits, tmp_path):
    values = {b.name: b.value for b in draw_bounds(splits, 0)}
    # The mean of red and black is (127.5, 0, 0); red ball is (250, 0, 0), the ground 138 of each.
    assert values["the mean picture"] == pytest.approx(1 - 122.5 / (112 + 2 * 138), abs=1e-3)
    Image.new("RGB", (32, 32), (250, 0, 0)).save(tmp_path / "REDBALL.png")
    assert ceiling(splits["heldout"], tmp_path).value == pytest.approx(1)


def test_pictures_are_written_at_the_size_of_the_model(splits, tmp_path):
    paths = write_pictures(splits["heldout"], tmp_path)
    picture = Image.open(io.BytesIO(paths["REDBALL"].read_bytes()))
    assert picture.size == (32, 32)
    assert np.asarray(picture)[0, 0].tolist() == [250, 0, 0]


def test_a_folder_without_sheets_is_said_with_what_it_should_hold(tmp_path):
    with pytest.raises(UserError, match="holds no sprite sheets"):
        read_emoji(tmp_path)
