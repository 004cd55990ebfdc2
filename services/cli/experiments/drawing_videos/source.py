"""Reads the drawing videos: 30 characters, drawn by people and by programs, stroke by stroke.

Each stroke has a colour of its own, the first red, the second green and so on, so the last frame of
a clip as it is tells the order of the strokes. A drawing is therefore read as strokes of ink
without colour.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from services.cli.errors import UserError
from services.cli.experiments.drawing_videos.drawing import Drawing, Stroke
from services.cli.experiments.task_file import Split

PEOPLE, ORIGINAL = "people", "full_model"
REVERSED, SHUFFLED = "reverse_full_model", "randomize_full_model"
FOLDERS = (PEOPLE, ORIGINAL, REVERSED, SHUFFLED)
_NAME = re.compile(r"mov_c(\d+)_r\d+")
_BORDER_PX = 3
_WHITE = np.array([255, 255, 255], np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Character:
    """One character, in the four ways that it was drawn."""

    number: int
    drawings: dict[str, Drawing]

    @property
    def is_shuffled(self) -> bool:
        """Whether the clip of that name differs from the original: of a few it does not."""
        original, shuffled = self.drawings[ORIGINAL], self.drawings[SHUFFLED]
        return not np.array_equal(original.arrival_SS, shuffled.arrival_SS)


def read_characters(data: Path) -> list[Character]:
    """All of them, by number. Raises UserError."""
    paths = {folder: _by_number(data / f"mov_{folder}") for folder in FOLDERS}
    numbers = sorted(set.intersection(*(set(some) for some in paths.values())))
    if not numbers:
        raise UserError(
            f"{data} holds no mov_people/*.gif, mov_full_model/*.gif and so on",
            "`--data` names the folder drawing-videos of the data",
        )
    return [
        Character(n, {folder: read_drawing(paths[folder][n]) for folder in FOLDERS})
        for n in numbers
    ]


def read_drawing(path: Path) -> Drawing:
    """A clip as strokes: where ink of a new colour arrives, and when."""
    with Image.open(path) as clip:
        frames = [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(clip)]
        frame_s = float(clip.info["duration"]) / 1000
    inner = slice(_BORDER_PX, -_BORDER_PX)
    frames_FSS3 = np.stack(frames)[:, inner, inner]
    before_FSS3 = np.concatenate([np.broadcast_to(_WHITE, frames_FSS3[:1].shape), frames_FSS3[:-1]])
    is_new_FSS = (frames_FSS3 != before_FSS3).any(axis=-1) & (frames_FSS3 < 128).any(axis=-1)
    frame_N, row_N, column_N = is_new_FSS.nonzero()
    colours_N = frames_FSS3[frame_N, row_N, column_N] @ np.array([1 << 16, 1 << 8, 1])
    times_N = frame_N / (len(frames) - 1)
    order = list(dict.fromkeys(colours_N.tolist()))
    strokes = [
        Stroke(row_N[is_it], column_N[is_it], times_N[is_it])
        for is_it in (colours_N == colour for colour in order)
    ]
    return Drawing(tuple(strokes), frames_FSS3.shape[1], frame_s * (len(frames) - 1))


def hold_out(
    characters: Sequence[Character], fold: int, num_folds: int
) -> dict[Split, list[Character]]:
    """Every so many-th character is held out."""
    return {
        "train": [c for c in characters if c.number % num_folds != fold],
        "heldout": [c for c in characters if c.number % num_folds == fold],
    }


def _by_number(folder: Path) -> dict[int, Path]:
    found = {path: _NAME.fullmatch(path.stem) for path in sorted(folder.glob("*.gif"))}
    return {int(name[1]): path for path, name in found.items() if name}
