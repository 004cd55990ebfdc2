"""A picture of examples: cells with pictures and what was answered, right in green."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

_MARGIN, _LINE = 6, 13
_LEAST_WIDTH = 220  # about 36 letters
_BACKGROUND, _TEXT = (255, 255, 255), (40, 40, 40)
_RIGHT, _WRONG = (20, 130, 50), (190, 40, 40)


@dataclass(frozen=True, slots=True)
class Line:
    """Words under a picture; `is_right` None where there is nothing to be right about."""

    text: str
    is_right: bool | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One example: a picture as it should be shown, and lines under it."""

    picture: Image.Image
    lines: tuple[Line, ...]


def write_sheet(path: Path, title: str, cells: Sequence[Cell], columns: int) -> Path:
    """Writes a PNG, row by row, with its folder."""
    width = max(_LEAST_WIDTH, *(cell.picture.width for cell in cells)) + 2 * _MARGIN
    height = max(c.picture.height + _LINE * len(c.lines) for c in cells) + 2 * _MARGIN
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height + 2 * _LINE), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN), title, fill=_TEXT)
    for index, cell in enumerate(cells):
        left = index % columns * width + _MARGIN
        top = index // columns * height + _MARGIN + 2 * _LINE
        sheet.paste(cell.picture.convert("RGB"), (left, top))
        for number, line in enumerate(cell.lines):
            place = (left, top + cell.picture.height + 2 + number * _LINE)
            draw.text(place, line.text[: (width - _MARGIN) // 6], fill=_colour(line))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
    return path


def side_by_side(pictures: Sequence[Image.Image], gap: int = 2) -> Image.Image:
    """Pictures of one height in a row."""
    width = sum(p.width + gap for p in pictures) - gap
    row = Image.new("RGB", (width, pictures[0].height), (200, 200, 200))
    left = 0
    for picture in pictures:
        row.paste(picture, (left, 0))
        left += picture.width + gap
    return row


def _colour(line: Line) -> tuple[int, int, int]:
    if line.is_right is None:
        return _TEXT
    return _RIGHT if line.is_right else _WRONG
