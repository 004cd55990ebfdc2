"""Questions about clips: the last frame and the answer are drawn apart, then motions that fit both.

So no answer can be told from the last frame, and guessing does not pay.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import cast

from services.common.world.clips import (
    DIRECTIONS,
    MIN_TRAVEL_PX,
    NUM_FRAMES,
    Direction,
    Motion,
    MovingScene,
    room_behind,
    sample_motion,
    sample_things,
)
from services.common.world.questions import YES_NO
from services.common.world.sampling import Level, SceneSource, split_of
from services.common.world.scenes import Scene, Thing

_NUM_INTERVALS = NUM_FRAMES - 1
_MIN_INTERVALS_IN_TURN = 2  # of a motion where its place in the order matters
_MIN_INTERVALS = 3
# Where a thing has room for d pixels on all sides, its center anywhere in a square of side w, the
# first frame alone betrays the direction with a chance of 1/4 + d/w: so d is small.
_MAX_TRAVEL_ANY_WAY_PX = MIN_TRAVEL_PX + 1
_MAX_IN_TURN = 3

Things = tuple[Thing, ...]
Motions = dict[int, Motion]  # by the thing's index
# (last frame, random stream, answer to give) -> (question, motions), or None if no thing fits
Maker = Callable[[Things, Random, str], tuple[str, Motions] | None]


@dataclass(frozen=True, slots=True)
class ClipKind:
    """A maker, what can be answered about a last frame, and the fewest things that it needs."""

    make: Maker
    answers: Callable[[Things], Sequence[str]]
    min_count: int = 2


@dataclass(frozen=True, slots=True)
class ClipAsked:
    """A question of a kind about things that move, with its answer."""

    scene: MovingScene
    kind: str
    question: str
    answer: str


def clip_kinds(level: Level) -> dict[str, ClipKind]:
    """The kinds that a level asks."""
    kinds = {
        "direction": ClipKind(ask_direction, lambda things: DIRECTIONS, min_count=1),
        "mover": ClipKind(ask_mover, _names),
    }
    if level.max_count >= 2:
        kinds["first"] = ClipKind(ask_first, _names)
        kinds["moving"] = ClipKind(ask_moving, _numbers, _max_count(level))
    if level.max_count >= 3:
        kinds["before"] = ClipKind(ask_before, lambda things: YES_NO)
    return kinds


def ask_about_clip(scenes: SceneSource) -> ClipAsked:
    """A question about a clip whose last frame is of the scenes' split."""
    rng = scenes.rng
    kinds = clip_kinds(scenes.level)
    name = rng.choice(list(kinds))
    kind = kinds[name]
    counts = range(kind.min_count, _max_count(scenes.level) + 1)
    while True:
        things = sample_things(rng, rng.choice(counts))
        if split_of(Scene(things)) != scenes.split:
            continue
        answer = rng.choice(kind.answers(things))
        made = kind.make(things, rng, answer)
        if made is not None:
            question, motions = made
            scene = MovingScene(things, tuple(motions.get(i) for i in range(len(things))))
            return ClipAsked(scene, name, question, answer)


def ask_direction(things: Things, rng: Random, wanted: str) -> tuple[str, Motions] | None:
    """Where a thing goes that could have come from all four sides; others may move as well."""
    rooms = [min(room_behind(thing, direction) for direction in DIRECTIONS) for thing in things]
    fitting = [index for index, room in enumerate(rooms) if room >= _MAX_TRAVEL_ANY_WAY_PX]
    if not fitting:
        return None
    index = rng.choice(fitting)
    travel_px = rng.randint(MIN_TRAVEL_PX, _MAX_TRAVEL_ANY_WAY_PX)
    others = [i for i in range(len(things)) if i != index and rng.random() < 0.5]
    motions = _at_any_time(things, others, rng)
    motions[index] = Motion(cast(Direction, wanted), travel_px, *_window(rng))
    return f"which way does {_the(things[index])} move?", motions


def ask_mover(things: Things, rng: Random, wanted: str) -> tuple[str, Motions]:
    """The only thing that moves."""
    return "what moves?", _at_any_time(things, [_names(things).index(wanted)], rng)


def ask_first(things: Things, rng: Random, wanted: str) -> tuple[str, Motions]:
    """The first of two or three things that move in turn."""
    first = _names(things).index(wanted)
    others = [index for index in range(len(things)) if index != first]
    num_others = rng.randint(1, min(len(others), _MAX_IN_TURN - 1))
    return "what moves first?", _in_turn(things, [first, *rng.sample(others, num_others)], rng)


def ask_before(things: Things, rng: Random, wanted: str) -> tuple[str, Motions]:
    """Whether one of two or three things that move in turn does so before another."""
    order = rng.sample(range(len(things)), rng.randint(2, min(len(things), _MAX_IN_TURN)))
    earlier, later = sorted(rng.sample(range(len(order)), 2))
    first, second = things[order[earlier]], things[order[later]]
    if wanted == "no":
        first, second = second, first
    question = f"does {_the(first)} move before {_the(second)}?"
    return question, _in_turn(things, order, rng)


def ask_moving(things: Things, rng: Random, wanted: str) -> tuple[str, Motions]:
    """How many things move."""
    movers = rng.sample(range(len(things)), int(wanted))
    return "how many things move?", _at_any_time(things, movers, rng)


def _at_any_time(things: Things, movers: Sequence[int], rng: Random) -> Motions:
    return {index: sample_motion(rng, things, index, _window(rng)) for index in movers}


def _in_turn(things: Things, order: Sequence[int], rng: Random) -> Motions:
    """Motions one after another that share all frames between them."""
    lengths = [_MIN_INTERVALS_IN_TURN] * len(order)
    for _ in range(_NUM_INTERVALS - sum(lengths)):
        lengths[rng.randrange(len(lengths))] += 1
    motions, start = {}, 0
    for index, length in zip(order, lengths, strict=True):
        motions[index] = sample_motion(rng, things, index, (start, start + length))
        start += length
    return motions


def _window(rng: Random) -> tuple[int, int]:
    """First and last frame of a motion at any time."""
    length = rng.randint(_MIN_INTERVALS, _NUM_INTERVALS)
    start = rng.randint(0, _NUM_INTERVALS - length)
    return start, start + length


def _max_count(level: Level) -> int:
    return max(level.max_count, 2)


def _names(things: Things) -> list[str]:
    return [f"{thing.color} {thing.shape}" for thing in things]


def _numbers(things: Things) -> list[str]:
    return [str(number) for number in range(1, len(things) + 1)]


def _the(thing: Thing) -> str:
    return f"the {thing.color} {thing.shape}"
