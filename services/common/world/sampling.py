"""Draws scenes: four levels of difficulty, and three splits that share no scene content.

The split of a scene follows from a hash of what it shows (`content_key`), whatever the seed, so
no held-out content is ever trained on.
"""

from dataclasses import dataclass
from random import Random
from typing import Literal, get_args
from zlib import crc32

from services.common.world.scenes import COLORS, PICTURE_PX, SHAPES, Scene, Thing

Split = Literal["train", "heldout", "validation"]
SPLITS: tuple[Split, ...] = get_args(Split)

DEFAULT_LEVEL = 3

_MIN_GAP_PX = 2
_CELL_PX = 15  # of the four cells that three or four things share, one in each corner
_COARSE_PX = 8  # a thing alone is told from another by where it is, to this resolution
_NUM_PARTS = 10  # part 0 is held out, part 1 is for validation


@dataclass(frozen=True, slots=True)
class Level:
    """How hard scenes are: chances of 1, 2, … things, radii in pixels, sizes spoken of or not."""

    count_weights: tuple[float, ...]
    radii: tuple[int, ...]
    names_sizes: bool = False

    @property
    def max_count(self) -> int:
        """The most things in a scene."""
        return len(self.count_weights)


LEVELS: dict[int, Level] = {
    1: Level((1,), (6, 7, 8, 9)),
    2: Level((1, 2), (6, 7)),
    3: Level((1, 2, 2), (5, 6, 7)),
    4: Level((1, 2, 3, 4), (5, 7), names_sizes=True),
}


class SceneSource:
    """Scenes of one level and split, out of one random stream."""

    def __init__(self, rng: Random, level: int, split: Split) -> None:
        if level not in LEVELS:
            raise ValueError(f"level is {level!r}; choose one of {', '.join(map(str, LEVELS))}")
        if split not in SPLITS:
            raise ValueError(f"split is {split!r}; choose one of {', '.join(SPLITS)}")
        self.rng = rng
        self.level = LEVELS[level]
        self.split = split

    def next(self, count: int | None = None) -> Scene:
        """The next scene of the split, of `count` things when that is given."""
        while True:
            scene = sample_scene(self.rng, self.level, count)
            if split_of(scene) == self.split:
                return scene


def sample_scene(rng: Random, level: Level, count: int | None = None) -> Scene:
    """A scene of any split; `count` overrides the level's chances."""
    if count is None:
        count = rng.choices(range(1, level.max_count + 1), level.count_weights)[0]
    colors = rng.sample(COLORS, count)
    shapes = rng.choices(SHAPES, k=count)
    radii = rng.choices(level.radii, k=count)
    match count:
        case 1:
            centers = [_anywhere(rng, radii[0])]
        case 2:
            centers = _side_by_side(rng, radii[0], radii[1])
        case _:
            centers = _in_corners(rng, radii)
    things = tuple(
        Thing(color, shape, x, y, radius)
        for color, shape, radius, (x, y) in zip(colors, shapes, radii, centers, strict=True)
    )
    return Scene(things, level.names_sizes)


def content_key(scene: Scene) -> str:
    """What the scene shows, without pixel positions and sizes.

    Colors and shapes in reading order with all clear relations; for a thing alone, where it is on
    a 4×4 grid. So the 24 sentences about a thing alone, which tell no place, occur in all splits.
    """
    words = [f"{thing.color} {thing.shape}" for thing in scene.things]
    if len(words) == 1:
        thing = scene.things[0]
        return f"{words[0]} @ {thing.center_x // _COARSE_PX} {thing.center_y // _COARSE_PX}"
    relations = [f"{i} {relation} {j}" for i, relation, j in scene.relations()]
    return "; ".join(words + relations)


def split_of(scene: Scene) -> Split:
    """The one split that has scenes of this content."""
    return split_of_key(content_key(scene))


def split_of_key(key: str) -> Split:
    """The one split of a content: a tenth are held out, a tenth are for validation."""
    match crc32(key.encode()) % _NUM_PARTS:
        case 0:
            return "heldout"
        case 1:
            return "validation"
        case _:
            return "train"


def _anywhere(rng: Random, radius: int) -> tuple[int, int]:
    low, high = _center_range(radius)
    return rng.randint(low, high), rng.randint(low, high)


def _side_by_side(rng: Random, first: int, second: int) -> list[tuple[int, int]]:
    """Centers of two things, the first left of or above the second, the offset clearly so."""
    apart = first + second + 1 + _MIN_GAP_PX
    low, high = _center_range(first)[0], _center_range(second)[1]
    first_main = rng.randint(low, high - apart)
    second_main = rng.randint(first_main + apart, high)
    first_cross = rng.randint(*_center_range(first))
    reach = (second_main - first_main) // 2
    low, high = _center_range(second)
    second_cross = rng.randint(max(low, first_cross - reach), min(high, first_cross + reach))
    main_axis_is_x = rng.random() < 0.5
    if main_axis_is_x:
        return [(first_main, first_cross), (second_main, second_cross)]
    return [(first_cross, first_main), (second_cross, second_main)]


def _in_corners(rng: Random, radii: list[int]) -> list[tuple[int, int]]:
    """Centers of three or four things in the corner cells, in reading order."""
    far = PICTURE_PX - _CELL_PX
    cells = [(0, 0), (far, 0), (0, far), (far, far)]
    taken = sorted(rng.sample(range(len(cells)), len(radii)))
    centers = []
    for radius, index in zip(radii, taken, strict=True):
        slack = _CELL_PX - (2 * radius + 1)
        left, top = cells[index]
        x, y = left + radius + rng.randint(0, slack), top + radius + rng.randint(0, slack)
        centers.append((x, y))
    return centers


def _center_range(radius: int) -> tuple[int, int]:
    return radius, PICTURE_PX - 1 - radius
