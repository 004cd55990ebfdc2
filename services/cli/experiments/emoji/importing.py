"""Emoji as pictures in files, and rows of two tasks: to name a picture, and to draw a name."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from services.cli.experiments.emoji.settings import EmojiTask
from services.cli.experiments.emoji.source import Emoji
from services.cli.experiments.task_file import MediaFile, Split, TaskRow
from services.common.checks.colours import cell_colours
from services.common.world.drawing import BACKGROUND

SIDE = 32
QUESTION = "what does the picture show?"
SCORERS: Mapping[EmojiTask, str] = {"caption": "program/words", "draw": "program/colours"}


def write_pictures(emoji: Sequence[Emoji], folder: Path) -> dict[str, Path]:
    """A PNG of each, of the size that models see and draw, by its hexcode."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {one.hexcode: folder / f"{one.hexcode}.png" for one in emoji}
    for one in emoji:
        file = io.BytesIO()
        small(one).save(file, "PNG")
        paths[one.hexcode].write_bytes(file.getvalue())
    return paths


def rows_of(
    task: EmojiTask, splits: Mapping[Split, Sequence[Emoji]], paths: Mapping[str, Path]
) -> list[TaskRow]:
    """Each emoji once."""
    make = _caption if task == "caption" else _draw
    return [make(e, split, paths[e.hexcode]) for split, some in splits.items() for e in some]


def small(emoji: Emoji) -> Image.Image:
    """The picture as models see and draw it."""
    return emoji.picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def _caption(emoji: Emoji, split: Split, path: Path) -> TaskRow:
    return TaskRow(
        row_id=f"caption-{emoji.hexcode}",
        split=split,
        task="caption",
        question=QUESTION,
        medium=MediaFile("image", path),
        target=emoji.caption,
        reference={"answer": emoji.caption},
    )


def _draw(emoji: Emoji, split: Split, path: Path) -> TaskRow:
    colours = cell_colours(np.asarray(small(emoji)))
    return TaskRow(
        row_id=f"draw-{emoji.hexcode}",
        split=split,
        task="draw",
        question=f"draw {emoji.name}.",
        medium=None,
        target=MediaFile("image", path),
        reference={
            "name": emoji.name,
            "colours": colours.round(1).tolist(),
            "ground": list(BACKGROUND),
        },
    )
