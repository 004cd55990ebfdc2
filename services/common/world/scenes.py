"""What a scene is: colored shapes on a 32×32 picture, and how they lie to each other.

Boxes are (left, top, right, bottom) in pixels, right and bottom exclusive, so 0 to 32.
"""

from dataclasses import dataclass
from typing import Literal, get_args

Color = Literal["red", "green", "blue", "yellow", "purple", "cyan"]
Shape = Literal["circle", "square", "triangle", "cross"]
Size = Literal["small", "large"]
Relation = Literal["above", "below", "left of", "right of"]
Box = tuple[int, int, int, int]

COLORS: tuple[Color, ...] = get_args(Color)
SHAPES: tuple[Shape, ...] = get_args(Shape)
SIZES: tuple[Size, ...] = get_args(Size)
RELATIONS: tuple[Relation, ...] = get_args(Relation)

PICTURE_PX = 32
LARGEST_SMALL_SIDE_PX = 12  # sizes are only spoken of between sides of 11 and 15 pixels

OPPOSITE: dict[Relation, Relation] = {
    "above": "below",
    "below": "above",
    "left of": "right of",
    "right of": "left of",
}

# An offset is clear when it has at most this share of itself across its main axis. Only clear
# relations are spoken of; a drawn one need only lie mainly along the axis.
CLEAR_SLOPE = 0.5
DRAWN_SLOPE = 0.999


@dataclass(frozen=True, slots=True)
class Thing:
    """One colored shape, whose box has a side of 2·radius + 1 pixels around its center."""

    color: Color
    shape: Shape
    center_x: int
    center_y: int
    radius: int

    @property
    def box(self) -> Box:
        """The pixels that it spans."""
        x, y, radius = self.center_x, self.center_y, self.radius
        return (x - radius, y - radius, x + radius + 1, y + radius + 1)

    @property
    def size(self) -> Size:
        """The word for its size, where a level speaks of sizes."""
        return size_of(self.box)


@dataclass(frozen=True, slots=True)
class Scene:
    """Things of distinct colors, none overlapping, in reading order.

    Of two, the upper or the left one comes first; of more, top left, top right, bottom left, bottom
    right. `names_sizes` says whether sentences about it tell sizes.
    """

    things: tuple[Thing, ...]
    names_sizes: bool = False

    def relations(self) -> list[tuple[int, Relation, int]]:
        """All clear relations as (index, relation, index), each pair once, lower index first."""
        things = self.things
        return [
            (i, relation, j)
            for i in range(len(things))
            for j in range(i + 1, len(things))
            if (relation := relation_between(things[i].box, things[j].box)) is not None
        ]


def relation_between(first: Box, second: Box, max_slope: float = CLEAR_SLOPE) -> Relation | None:
    """How `first` lies to `second` by their centers, or None when that would be ambiguous."""
    dx = first[0] + first[2] - second[0] - second[2]
    dy = first[1] + first[3] - second[1] - second[3]
    if dx and abs(dy) <= max_slope * abs(dx):
        return "left of" if dx < 0 else "right of"
    if dy and abs(dx) <= max_slope * abs(dy):
        return "above" if dy < 0 else "below"
    return None


def size_of(box: Box) -> Size:
    """The word for the size of a box, by its longer side."""
    return "small" if max(box[2] - box[0], box[3] - box[1]) <= LARGEST_SMALL_SIDE_PX else "large"


def intersection_over_union(first: Box, second: Box) -> float:
    """IoU of two boxes of positive area."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    overlap = max(width, 0) * max(height, 0)
    return overlap / (_area(first) + _area(second) - overlap)


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
