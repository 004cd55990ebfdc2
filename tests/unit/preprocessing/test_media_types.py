"""Media types by magic bytes."""

import io

import pytest
from PIL import Image

from models.preprocessing.media_types import sniff_mime_type


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "GIF"])
def test_pictures_are_known_by_their_first_bytes(name):
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, name)
    assert sniff_mime_type(file.getvalue()) == f"image/{name.lower()}"


@pytest.mark.parametrize(
    ("head", "mime_type"),
    [
        (b"RIFF\x24\0\0\0WAVEfmt ", "audio/wav"),
        (b"OggS\0\x02", "audio/ogg"),
        (b"\xff\xfb\x90\x64", "audio/mpeg"),
        (b"\xff\xf3\x80\xc4", "audio/mpeg"),
        (b"\0\0\0\x18ftypmp42", "video/mp4"),
        (b"\x1aE\xdf\xa3\x01", "video/webm"),
    ],
)
def test_sounds_and_clips_are_known_too(head, mime_type):
    assert sniff_mime_type(head) == mime_type


@pytest.mark.parametrize(
    "data", [b"", b"\x89PN", b"<html><script>", b"RIFF\0\0\0\0AVI ", b"\xff\xea", b"\xff"]
)
def test_what_is_not_known_is_not_guessed(data):
    assert sniff_mime_type(data) is None
