"""Clips: things on the grey ground of which some move, and end where the last frame has them.

The last frame comes first, and motions are led back from it, so that it tells nothing of them.
Legend: F frames, H height, W width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from services.common.world.drawing import BACKGROUND, stamp_of
from services.common.world.media import Clip
from services.common.world.scenes import COLORS, PICTURE_PX, SHAPES, Color, Thing

Direction = Literal["left", "right", "up", "down"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)

NUM_FRAMES = 8
FRAME_MS = (200, 220, 250, 280, 300)
RADII = (3, 4, 5)
MIN_TRAVEL_PX, MAX_TRAVEL_PX = 5, 10

_MIN_GAP_PX = 2
_STEPS: dict[Direction, tuple[int, int]] = {
    "left": (-1, 0),
    "right": (1, 0),
    "up": (0, -1),
    "down": (0, 1),
}


@dataclass(frozen=True, slots=True)
class Motion:
    """A way of so many pixels, left behind from frame `start` to frame `end`."""

    direction: Direction
    travel_px: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class MovingScene:
    """The things of the last frame, in the order of COLORS, and how each came there, if moved."""

    things: tuple[Thing, ...]
    motions: tuple[Motion | None, ...]


def sample_things(rng: Random, count: int) -> tuple[Thing, ...]:
    """Things of distinct colors anywhere on the last frame, apart, in the order of COLORS."""
    colors = sorted(rng.sample(COLORS, count), key=COLORS.index)
    things: list[Thing] = []
    while len(things) < count:
        thing = _thing(rng, colors[len(things)])
        if all(_is_apart(thing, other) for other in things):
            things.append(thing)
        else:
            things.clear()  # and not only this one, so that all arrangements are equally likely
    return tuple(things)


def room_behind(thing: Thing, direction: Direction) -> int:
    """How many pixels the thing can have come from when it moved in a direction."""
    left, top, right, bottom = thing.box
    rooms = {"left": PICTURE_PX - right, "right": left, "up": PICTURE_PX - bottom, "down": top}
    return rooms[direction]


def sample_motion(
    rng: Random, things: Sequence[Thing], index: int, window: tuple[int, int]
) -> Motion:
    """A motion of one of the things within frames; from where nothing lies, if there is such."""
    thing = things[index]
    choices = [
        Motion(direction, travel_px, *window)
        for direction in DIRECTIONS
        for travel_px in range(MIN_TRAVEL_PX, min(room_behind(thing, direction), MAX_TRAVEL_PX) + 1)
    ]
    others = [other for other in things if other is not thing]
    clear = [m for m in choices if all(_is_apart(place_at(thing, m, 0), o) for o in others)]
    chosen = clear or choices
    direction = rng.choice(sorted({motion.direction for motion in chosen}))
    return rng.choice([motion for motion in chosen if motion.direction == direction])


def place_at(thing: Thing, motion: Motion | None, frame: int) -> Thing:
    """The thing where it is in a frame."""
    if motion is None:
        return thing
    share = (frame - motion.start) / (motion.end - motion.start)
    left_px = round(motion.travel_px * (1 - min(max(share, 0.0), 1.0)))
    dx, dy = _STEPS[motion.direction]
    x, y = thing.center_x - dx * left_px, thing.center_y - dy * left_px
    return Thing(thing.color, thing.shape, x, y, thing.radius)


def film(scene: MovingScene, frame_ms: int) -> Clip:
    """The clip; what moves passes over what does not."""
    frames_FHW3 = np.empty((NUM_FRAMES, PICTURE_PX, PICTURE_PX, 3), np.uint8)
    frames_FHW3[:] = BACKGROUND
    layers = sorted(zip(scene.things, scene.motions, strict=True), key=lambda m: m[1] is not None)
    for frame, pixels_HW3 in enumerate(frames_FHW3):
        _draw(pixels_HW3, [place_at(thing, motion, frame) for thing, motion in layers])
    return Clip(frames_FHW3, frame_ms)


def _draw(pixels_HW3: NDArray[np.uint8], things: Sequence[Thing]) -> None:
    for thing in things:
        left, top, right, bottom = thing.box
        stamp, is_inside = stamp_of(thing)
        np.copyto(pixels_HW3[top:bottom, left:right], stamp, where=is_inside)


def _thing(rng: Random, color: Color) -> Thing:
    radius = rng.choice(RADII)
    low, high = radius, PICTURE_PX - 1 - radius
    return Thing(color, rng.choice(SHAPES), rng.randint(low, high), rng.randint(low, high), radius)


def _is_apart(first: Thing, second: Thing) -> bool:
    dx, dy = first.center_x - second.center_x, first.center_y - second.center_y
    return max(abs(dx), abs(dy)) > first.radius + second.radius + _MIN_GAP_PX
