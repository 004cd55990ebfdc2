"""Writes a task folder: data with pictures, scorer, recipe, and a page that explains them."""

import json
import re
from pathlib import Path
from random import Random
from typing import Any

from services.cli.errors import UserError
from services.cli.new_task.shapes import MAX_SHAPES, draw_shapes

NUM_TRAIN, NUM_HELDOUT = 240, 90
QUESTION = "how many shapes are there?"

_TEMPLATE = Path(__file__).parent / "template"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def write_task(folder: Path) -> list[Path]:
    """The files written. Raises UserError where the name does not do or the folder is there."""
    name = folder.name
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} cannot name a task", "lower-case letters, digits, - and _, at most 40"
        )
    if folder.exists():
        raise UserError(f"{folder} is there already", "another name, or remove it first")
    (folder / "media").mkdir(parents=True)
    written = [_write_data(folder)]
    for template in sorted(_TEMPLATE.iterdir()):
        if template.is_file():
            target = folder / template.name
            target.write_text(template.read_text().replace("TASK_NAME", name))
            written.append(target)
    return written


def _write_data(folder: Path) -> Path:
    rng = Random(f"attune new task {folder.name}")
    rows = [
        _write_row(folder, split, index, rng)
        for split, size in (("train", NUM_TRAIN), ("heldout", NUM_HELDOUT))
        for index in range(size)
    ]
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _write_row(folder: Path, split: str, index: int, rng: Random) -> dict[str, Any]:
    count = index % MAX_SHAPES + 1
    media = f"media/{split}-{index:03d}.png"
    draw_shapes(count, rng).save(folder / media)
    content = [{"type": "image", "path": media}, {"type": "text", "text": QUESTION}]
    return {
        "id": f"{split}-{index:03d}",
        "messages": [{"role": "user", "content": content}],
        "reference": {"answer": str(count)},
        "target": str(count),
        "split": split,
    }
