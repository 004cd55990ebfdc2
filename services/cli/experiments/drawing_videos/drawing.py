"""A drawing as strokes of ink that arrives in time, and what can be made of it.

N pixels of a stroke, S side. Times run from 0, when the first ink arrives, to 1, the end
of the clip; the finished drawing is shown for a while.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

_NEVER = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Stroke:
    """Where its ink is, in pixels, and when each arrives."""

    rows_N: NDArray[np.int64]
    columns_N: NDArray[np.int64]
    times_N: NDArray[np.float64]

    @property
    def begin(self) -> float:
        """When its first ink arrives."""
        return float(self.times_N.min())

    @property
    def length(self) -> float:
        """How long it takes."""
        return float(self.times_N.max()) - self.begin

    def between(self, begin: float, end: float, is_backwards: bool = False) -> "Stroke":
        """The same ink within other times, perhaps from its end to its beginning."""
        place_N = (self.times_N - self.begin) / (self.length or 1.0)
        times_N = begin + (1 - place_N if is_backwards else place_N) * (end - begin)
        return Stroke(self.rows_N, self.columns_N, times_N)


@dataclass(frozen=True, eq=False)
class Drawing:
    """Strokes in the order in which they are drawn, on a square of `side` pixels."""

    strokes: tuple[Stroke, ...]
    side: int
    seconds: float

    @cached_property
    def arrival_SS(self) -> NDArray[np.float64]:
        """When each pixel first has ink; 2 where none ever comes."""
        arrival_SS = np.full((self.side, self.side), _NEVER)
        for stroke in self.strokes:
            np.minimum.at(arrival_SS, (stroke.rows_N, stroke.columns_N), stroke.times_N)
        return arrival_SS

    @property
    def end(self) -> float:
        """When the last ink arrives; the drawing is shown as it is from then to 1."""
        return max(s.begin + s.length for s in self.strokes)


def played_backwards(drawing: Drawing) -> Drawing:
    """Strokes from the last to the first, each from its end to its beginning."""
    end = drawing.end
    strokes = (Stroke(s.rows_N, s.columns_N, end - s.times_N) for s in reversed(drawing.strokes))
    return Drawing(tuple(strokes), drawing.side, drawing.seconds)


def with_strokes_shuffled(drawing: Drawing, rng: np.random.Generator) -> Drawing:
    """Strokes in another order, each perhaps from its end: never the drawing itself.

    Strokes keep their lengths, and the pauses between them their places.
    """
    count = len(drawing.strokes)
    while True:
        order, is_backwards = rng.permutation(count), rng.random(count) < 0.5
        if is_backwards.any() or (order != np.arange(count)).any():
            break
    chosen = [drawing.strokes[index] for index in order]
    return _in_turn(drawing, chosen, [s.length for s in chosen], list(is_backwards))


def at_another_pace(drawing: Drawing, rng: np.random.Generator) -> Drawing:
    """Each stroke slower or faster than it was, by up to a half."""
    lengths = [s.length * rng.uniform(0.6, 1.6) for s in drawing.strokes]
    return _in_turn(drawing, list(drawing.strokes), lengths, [False] * len(lengths))


def with_fewer_strokes(drawing: Drawing, rng: np.random.Generator) -> Drawing:
    """Half the time the drawing itself, else some of its strokes, two or more, in their order."""
    count = len(drawing.strokes)
    if count < 3 or rng.random() < 0.5:
        return drawing
    kept = np.sort(rng.choice(count, rng.integers(2, count), replace=False))
    strokes = [drawing.strokes[index] for index in kept]
    return _in_turn(drawing, strokes, [s.length for s in strokes], [False] * len(strokes))


def bent(drawing: Drawing, rng: np.random.Generator) -> Drawing:
    """Turned, stretched, slanted and moved a little, as another hand would write it.

    It is not mirrored: a mirrored character is drawn the other way than people draw.
    """
    turn, slant = rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2)
    rows, columns = rng.uniform(0.75, 1.1, 2)
    turning = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = turning @ np.array([[rows, 0], [slant, columns]])
    center, moved = drawing.side / 2, rng.uniform(-0.08, 0.08, 2) * drawing.side
    strokes = []
    for s in drawing.strokes:
        places_2N = matrix @ (np.stack([s.rows_N, s.columns_N]) - center)
        places_2N += center + moved[:, None]
        whole_2N = np.clip(np.rint(places_2N), 0, drawing.side - 1).astype(np.int64)
        strokes.append(Stroke(whole_2N[0], whole_2N[1], s.times_N))
    return Drawing(tuple(strokes), drawing.side, drawing.seconds)


def _in_turn(
    drawing: Drawing, strokes: list[Stroke], lengths: list[float], is_backwards: list[bool]
) -> Drawing:
    """Strokes one after the other with the drawing's pauses between them, scaled to its end."""
    ends = [s.begin + s.length for s in drawing.strokes]
    between = (max(0.0, s.begin - e) for s, e in zip(drawing.strokes[1:], ends, strict=False))
    pauses = [0.0, *between][: len(strokes)]
    total = (sum(lengths) + sum(pauses)) / drawing.end
    begin, placed = 0.0, []
    for stroke, length, pause, turned in zip(strokes, lengths, pauses, is_backwards, strict=True):
        begin += pause / total
        placed.append(stroke.between(begin, begin + length / total, turned))
        begin += length / total
    return Drawing(tuple(placed), drawing.side, drawing.seconds)
