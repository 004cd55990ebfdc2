"""A sheet of held-out emoji: how each was named, and how its name was drawn."""

import io
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from models.preprocessing.conversation import Picture, Turn
from protos.v1 import content_pb2
from services.cli.evaluation.scoring import ScoredAnswer
from services.cli.experiments.contact_sheet import Cell, Line, side_by_side, write_sheet
from services.cli.experiments.emoji.importing import SIDE
from services.cli.experiments.emoji.settings import EmojiTask
from services.cli.experiments.examples import answer_line, chosen_examples
from services.cli.experiments.improvement import PartOutcome

_COLUMNS, _CELLS_PER_TASK = 3, 24
_PX = 3 * SIDE


def write_examples(
    path: Path, outcomes: Mapping[EmojiTask, PartOutcome], round_trips: Path
) -> Path:
    """Pictures that were named; then true picture, round trip, and drawings before and after."""
    cells = []
    for task, outcome in outcomes.items():
        for before, after in chosen_examples(outcome, _CELLS_PER_TASK):
            is_named = task == "caption"
            cells.append(_named(before, after) if is_named else _drawn(before, after, round_trips))
    title = "Emoji, subgroups held out; drawn: true, through the image tokenizer, before, after RL"
    return write_sheet(path, title, cells, _COLUMNS)


def _named(before: ScoredAnswer, after: ScoredAnswer) -> Cell:
    item = before.answer.item
    [picture] = [p for turn in item.conversation for p in turn.parts if isinstance(p, Picture)]
    lines = (
        Line(f"called {item.reference['answer']}"),
        answer_line("before", before),
        answer_line("after", after),
    )
    return Cell(_opened(picture.data), lines)


def _drawn(before: ScoredAnswer, after: ScoredAnswer, round_trips: Path) -> Cell:
    item = before.answer.item
    hexcode = item.item_id.partition("-")[2]
    pictures = [
        _opened(_first_picture(item.target)),
        _opened((round_trips / f"{hexcode}.png").read_bytes()),
        _opened(_media_of(before.answer.message)),
        _opened(_media_of(after.answer.message)),
    ]
    scores = f"score {before.reward or 0:.2f} before, {after.reward or 0:.2f} after"
    return Cell(side_by_side(pictures), (Line(f"draw {item.reference['name']}"), Line(scores)))


def _first_picture(turn: Turn | None) -> bytes:
    return next((p.data for p in (turn.parts if turn else ()) if isinstance(p, Picture)), b"")


def _media_of(message: content_pb2.Message) -> bytes:
    return next((part.media.data for part in message.parts if part.media.data), b"")


def _opened(data: bytes) -> Image.Image:
    """Enlarged without smoothing; blank where there is none."""
    if not data:
        return Image.new("RGB", (_PX, _PX), (255, 255, 255))
    with Image.open(io.BytesIO(data)) as picture:
        return picture.convert("RGB").resize((_PX, _PX), Image.Resampling.NEAREST)
