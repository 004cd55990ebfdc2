"""Task items from the world and from JSONL, and what is said of files that cannot be used."""

import json

import pytest

from models.preprocessing.conversation import Audio, Picture, Role, Text, Turn, Video
from services.common.dataset import DatasetError, JsonlSource, WorldSource
from tests.support.pictures import png
from tests.support.sound_and_clips import moving_square, tone


def write(folder, *rows):
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def row(name, **fields):
    return {"id": name, "messages": [{"role": "user", "content": f"ask {name}"}], **fields}


def asking(*parts):
    return row("x") | {"messages": [{"role": "user", "content": list(parts)}]}


def test_world_items_take_turns_and_depend_on_their_place_alone():
    source = WorldSource(("vqa", "draw", "draw"), seed=3)
    items = source.take(0, 6)
    assert [item.family for item in items] == ["vqa", "draw", "draw"] * 2
    assert [item.output for item in items[:2]] == ["text", "image"]
    assert len({item.item_id for item in items}) == 6
    again = source.take(4, 1)[0]
    assert again.item_id == items[4].item_id
    assert again.conversation == items[4].conversation
    assert json.dumps(items[0].reference)


def test_rows_with_pictures_targets_and_splits(tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    content = [{"type": "image", "path": "a.png"}, {"type": "text", "text": "what?"}]
    path = write(
        tmp_path,
        {
            "id": "one",
            "messages": [{"role": "user", "content": content}],
            "reference": {"answer": "x"},
            "target": "x",
        },
        row("two", target={"type": "image", "path": "a.png"}, output="image", task="paint"),
        row("three", split="heldout"),
    )
    one, two = JsonlSource(path).items()
    assert one.conversation == (Turn(Role.USER, (Picture(png()), Text("what?"))),)
    assert one.target == Turn(Role.ASSISTANT, (Text("x"),))
    assert (one.family, one.reference, one.output) == ("data", {"answer": "x"}, "text")
    assert two.target == Turn(Role.ASSISTANT, (Picture(png()),))
    assert (two.family, two.output) == ("paint", "image")
    assert [item.item_id for item in JsonlSource(path, "heldout").items()] == ["three"]


def test_a_row_may_hold_recordings_and_clips_among_its_words(tmp_path):
    (tmp_path / "said.wav").write_bytes(tone())
    (tmp_path / "moves.gif").write_bytes(moving_square())
    content = [
        {"type": "text", "text": "first hear:"},
        {"type": "audio", "path": "said.wav"},
        {"type": "video", "path": "moves.gif"},
    ]
    path = write(tmp_path, {"id": "one", "messages": [{"role": "user", "content": content}]})
    [one] = JsonlSource(path).items()
    parts = (Text("first hear:"), Audio(tone()), Video(moving_square()))
    assert one.conversation == (Turn(Role.USER, parts),)


def test_each_epoch_brings_every_row_once_in_an_order_of_its_own(tmp_path):
    path = write(tmp_path, *(row(str(i)) for i in range(7)))
    source = JsonlSource(path, seed=1)
    taken = [item.item_id for item in source.take(0, 21)]
    epochs = [taken[start : start + 7] for start in (0, 7, 14)]
    assert all(sorted(epoch) == sorted(map(str, range(7))) for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert [item.item_id for item in source.take(5, 4)] == taken[5:9]
    assert [item.item_id for item in JsonlSource(path, seed=2).take(0, 7)] != epochs[0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: not JSON"),
        (json.dumps({"id": "x"}), "line 2, messages: Field required"),
        (json.dumps(row("x", colour=1)), "line 2, colour: Extra inputs are not permitted"),
        (json.dumps(row("x", split="test")), "line 2, split: Input should be 'train' or 'heldout'"),
        (json.dumps(row("x", target={"type": "image", "path": "no.png"})), "no file"),
        (
            json.dumps(row("x", target={"type": "audio", "path": "a.wav"})),
            "line 2, target.0: Input tag 'audio' .* expected tags: 'text', 'image'",
        ),
        (json.dumps(asking({"type": "audio", "path": "no.wav"})), "line 2: no file .*no.wav"),
        (json.dumps(asking({"type": "video"})), "line 2, messages.0.content.0.video.path: Field"),
        (json.dumps(asking({"type": "sound", "path": "a.wav"})), "'text', 'image', 'audio', 'vid"),
        (json.dumps(row("a")), "id 'a' stands in two rows"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, line, said):
    path = write(tmp_path, row("a"))
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DatasetError, match=said):
        JsonlSource(path)


def test_a_file_that_is_missing_or_has_no_such_split_is_named(tmp_path):
    with pytest.raises(DatasetError, match="cannot be read"):
        JsonlSource(tmp_path / "none.jsonl")
    with pytest.raises(DatasetError, match="no row of split 'heldout'"):
        JsonlSource(write(tmp_path, row("a")), "heldout")
