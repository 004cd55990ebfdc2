"""The example's pictures: one to three colored discs and squares on grey, drawn with Pillow."""

from random import Random

from PIL import Image, ImageDraw

SIDE_PX = 32
MAX_SHAPES = 3

_OVERSAMPLING = 8
_BACKGROUND = (138, 138, 138)
_COLORS = ((225, 45, 45), (45, 185, 65), (40, 80, 230), (250, 220, 40), (200, 60, 215))
_CELL_PX = SIDE_PX // 2


def draw_shapes(count: int, rng: Random) -> Image.Image:
    """A picture of so many shapes, each in a quarter of its own."""
    side = SIDE_PX * _OVERSAMPLING
    canvas = Image.new("RGB", (side, side), _BACKGROUND)
    pen = ImageDraw.Draw(canvas)
    cells = rng.sample([(x, y) for x in (0, 1) for y in (0, 1)], count)
    for (cell_x, cell_y), color in zip(cells, rng.sample(_COLORS, count), strict=True):
        size_px = rng.randint(9, 13)
        left = cell_x * _CELL_PX + rng.randint(1, _CELL_PX - 1 - size_px)
        top = cell_y * _CELL_PX + rng.randint(1, _CELL_PX - 1 - size_px)
        box = [v * _OVERSAMPLING for v in (left, top, left + size_px, top + size_px)]
        (pen.ellipse if rng.random() < 0.5 else pen.rectangle)(box, fill=color)
    return canvas.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)
