"""A sheet of held-out recordings, as spectrograms, with what was answered before and after RL."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from models.preprocessing.audio import decode_audio
from models.preprocessing.conversation import Audio
from models.preprocessing.log_mel import AudioGrid, log_mel
from services.cli.evaluation.scoring import ScoredAnswer
from services.cli.experiments.contact_sheet import Cell, Line, write_sheet
from services.cli.experiments.examples import answer_line, chosen_examples
from services.cli.experiments.improvement import PartOutcome

_COLUMNS, _ROWS_PER_SPEAKER = 6, 2
_SIZE = (150, 96)


def write_examples(path: Path, outcomes: Sequence[PartOutcome]) -> Path:
    """Two rows per speaker; those that RL changed come first."""
    pairs = [
        pair
        for outcome in outcomes
        for pair in chosen_examples(outcome, _COLUMNS * _ROWS_PER_SPEAKER)
    ]
    cells = [_cell(before, after) for before, after in pairs]
    title = "Spoken digits, speaker held out: log-mel frames; answers before and after RL, greedy"
    return write_sheet(path, title, cells, _COLUMNS)


def _cell(before: ScoredAnswer, after: ScoredAnswer) -> Cell:
    item = before.answer.item
    said = Line(f"{item.family} said {item.reference['answer']}")
    lines = (said, answer_line("before", before), answer_line("after", after))
    [recording] = [p for turn in item.conversation for p in turn.parts if isinstance(p, Audio)]
    return Cell(_spectrogram(recording.data), lines)


def _spectrogram(data: bytes) -> Image.Image:
    """Low frequencies at the bottom, loud is dark."""
    grid = AudioGrid()
    mels_MT = log_mel(decode_audio(data, grid.sample_rate), grid)
    grey_MT = np.clip((1 - mels_MT[::-1]) * 127.5, 0, 255).astype(np.uint8)
    return Image.fromarray(grey_MT).resize(_SIZE, Image.Resampling.BILINEAR)
