"""Pictures in a terminal: two pixels per character, the upper half block over a background."""

import io
from pathlib import Path

from PIL import Image
from rich.color import Color
from rich.style import Style
from rich.text import Text

_MAX_COLUMNS = 48
_UPPER_HALF = "▀"


def picture_text(data: bytes, max_columns: int = _MAX_COLUMNS) -> Text:
    """An encoded picture as lines of colored half blocks, shrunk to fit, never enlarged."""
    with Image.open(io.BytesIO(data)) as opened:
        picture = opened.convert("RGB")
    scale = min(1.0, max_columns / picture.width)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    picture = picture.resize((width, height + height % 2), Image.Resampling.BOX)
    text = Text()
    for top in range(0, picture.height, 2):
        for column in range(picture.width):
            text.append(_UPPER_HALF, _style(picture, column, top))
        text.append("\n")
    return text


def save_picture(data: bytes, folder: Path, stem: str) -> Path:
    """Keeps a picture that the policy drew."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}.png"
    path.write_bytes(data)
    return path


def _style(picture: Image.Image, column: int, top: int) -> Style:
    return Style(color=_color(picture, column, top), bgcolor=_color(picture, column, top + 1))


def _color(picture: Image.Image, column: int, row: int) -> Color:
    pixel = picture.getpixel((column, row))
    if not isinstance(pixel, tuple):
        raise TypeError(f"an RGB picture has pixels of three values, not {pixel!r}")
    red, green, blue = (int(channel) for channel in pixel[:3])
    return Color.from_rgb(red, green, blue)
