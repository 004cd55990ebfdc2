"""Files that are named or dropped in a chat, and how they are shown."""

from pathlib import Path

import pytest

from models.preprocessing.conversation import Audio, Picture, Video
from services.cli.chat.attachments import MediaFile, dropped_files, named_file, shown
from services.cli.errors import UserError
from tests.support.pictures import png
from tests.support.sound_and_clips import moving_square, tone


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    contents = {
        "a scene.png": png(),
        "said.wav": tone(),
        "it's.gif": moving_square(),
        "notes.txt": b"what is it?",
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    return {name: tmp_path / name for name in contents}


def test_a_dropped_path_is_known_by_its_first_bytes(files):
    assert dropped_files(str(files["said.wav"])) == [MediaFile(Audio, files["said.wav"])]
    renamed = files["said.wav"].rename(files["said.wav"].with_suffix(".png"))
    assert dropped_files(str(renamed)) == [MediaFile(Audio, renamed)]


@pytest.mark.parametrize(
    "written",
    ["'{folder}/a scene.png'", "{folder}/a\\ scene.png", "file://{folder}/a%20scene.png"],
)
def test_a_path_is_read_as_terminals_write_it(files, written):
    scene = files["a scene.png"]
    line = written.format(folder=scene.parent)
    assert dropped_files(line) == [MediaFile(Picture, scene)]
    assert named_file("/image", line) == MediaFile(Picture, scene)


def test_several_files_are_dropped_in_their_order(files):
    recording, clip = files["said.wav"], files["it's.gif"]
    line = f'{recording} "{clip}"'
    assert [file.kind for file in dropped_files(line)] == [Audio, Video]


def test_all_else_is_something_that_is_said(files, monkeypatch):
    monkeypatch.chdir(files["said.wav"].parent)
    for line in (
        "what is said in said.wav",
        "what's that?",
        "notes.txt",
        "/somewhere/else.png",
        ".",
        "x" * 5000,
        "\0",
    ):
        assert dropped_files(line) == []


def test_what_a_command_names_is_what_the_command_says(files):
    assert named_file("/video", str(files["notes.txt"])).kind is Video
    spaced = files["a scene.png"]
    assert named_file("/image", str(spaced)).read() == Picture(png())


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"there is no recording .*none\.wav"):
        MediaFile(Audio, tmp_path / "none.wav").read()


def test_recordings_and_clips_are_shown_with_their_lengths_where_known():
    assert shown(Audio(tone(1.25)), "said.wav").plain == "recording said.wav, 1.2 s\n"
    assert shown(Video(moving_square(5)), "moves.gif").plain == "clip moves.gif, 5 frames\n"
    assert shown(Audio(b"fLaC"), "said.flac").plain == "recording said.flac\n"
    assert shown(Video(b"\x1aE\xdf\xa3"), "moves.webm").plain == "clip moves.webm\n"


def test_a_picture_is_shown_itself_and_one_that_is_none_is_refused():
    assert shown(Picture(png()), "scene.png").plain.count("\n") == 16
    with pytest.raises(UserError, match=r"notes\.txt cannot be read as a picture"):
        shown(Picture(b"what is it?"), "notes.txt")
