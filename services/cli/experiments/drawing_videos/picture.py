"""A sheet of held-out clips, as filmstrips, with what was answered before and after RL."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from models.preprocessing.conversation import Video
from models.preprocessing.video import frames_from_video
from services.cli.evaluation.scoring import ScoredAnswer
from services.cli.experiments.contact_sheet import Cell, Line, side_by_side, write_sheet
from services.cli.experiments.drawing_videos.importing import NUM_FRAMES, QUESTIONS, SIDE
from services.cli.experiments.examples import answer_line, chosen_examples
from services.cli.experiments.improvement import PartOutcome

_COLUMNS, _CELLS_PER_FOLD = 2, 6
_FRAME_PX = 48


def write_examples(path: Path, outcomes: Sequence[PartOutcome]) -> Path:
    """A few of each fold; those that RL changed come first."""
    pairs = [p for outcome in outcomes for p in chosen_examples(outcome, _CELLS_PER_FOLD)]
    title = "Characters that are held out: what was asked and answered before and after RL, greedy"
    return write_sheet(path, title, [_cell(*pair) for pair in pairs], _COLUMNS)


def _cell(before: ScoredAnswer, after: ScoredAnswer) -> Cell:
    item = before.answer.item
    question = QUESTIONS[item.family.partition(",")[0]].partition(": ")[2]
    asked = Line(f"{item.item_id}: {question} {item.reference['answer']}")
    [clip] = [p for turn in item.conversation for p in turn.parts if isinstance(p, Video)]
    frames = frames_from_video(clip.data, SIDE, NUM_FRAMES).frames
    strip = [Image.fromarray(frame).resize((_FRAME_PX, _FRAME_PX)) for frame in frames]
    lines = (asked, answer_line("before", before), answer_line("after", after))
    return Cell(side_by_side(strip), lines)
