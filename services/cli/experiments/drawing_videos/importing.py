"""Clips of one colour and what is asked of them, as files and rows of a task.

Two questions with the answers yes and no, each asked as often of an original as of a clip that ends
in the same last frame: is it played backwards, are its strokes out of order?
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from services.cli.experiments.drawing_videos.drawing import (
    Drawing,
    at_another_pace,
    bent,
    played_backwards,
    with_fewer_strokes,
    with_strokes_shuffled,
)
from services.cli.experiments.drawing_videos.frames import frames, last_frame_in_colour
from services.cli.experiments.drawing_videos.source import (
    ORIGINAL,
    PEOPLE,
    REVERSED,
    SHUFFLED,
    Character,
)
from services.cli.experiments.task_file import MediaFile, Split, TaskRow
from services.common.world import media

QUESTIONS = {
    "reversed": "watch the clip: is it played backwards?",
    "shuffled": "watch the clip: are its strokes out of order?",
}
SIDE, NUM_FRAMES = 32, 8
_WORDS = {True: "yes", False: "no"}


class Shown(StrEnum):
    """What of a clip is shown."""

    CLIP = "the clip"
    LAST_FRAME = "the last frame alone"
    LAST_FRAME_IN_COLOUR = "the last frame alone, in colour"


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A drawing that a question is asked of; the answer is yes or no."""

    name: str
    drawing: Drawing
    question: str
    answer: bool
    task: str


def training_clips(characters: Sequence[Character], num_variants: int, seed: int) -> Iterator[Clip]:
    """Variants of originals; reversed and shuffled ones are made from the same ink."""
    for character in characters:
        for source in (PEOPLE, ORIGINAL):
            for variant in range(num_variants):
                rng = np.random.default_rng([seed, character.number, variant, len(source)])
                drawing = bent(with_fewer_strokes(character.drawings[source], rng), rng)
                name = f"c{character.number}-{source}-{variant}"
                for question, other in _changed(drawing, rng).items():
                    paced = at_another_pace(drawing, rng)
                    yield from _pair(name, question, paced, at_another_pace(other, rng))


def heldout_clips(characters: Sequence[Character], seed: int) -> Iterator[Clip]:
    """The data's own clips; of the drawings of people, clips that are made from their ink.

    A character whose shuffled clip is its original is not asked about: nobody could tell.
    """
    for character in characters:
        drawings, name = character.drawings, f"c{character.number}"
        original = drawings[ORIGINAL]
        yield from _pair(f"{name}-program", "reversed", original, drawings[REVERSED])
        if character.is_shuffled:
            yield from _pair(f"{name}-program", "shuffled", original, drawings[SHUFFLED])
        rng = np.random.default_rng([seed, character.number])
        for question, other in _changed(drawings[PEOPLE], rng).items():
            yield from _pair(f"{name}-people", question, drawings[PEOPLE], other, ", people")


def write_rows(
    clips: Iterator[Clip],
    folder: Path,
    split: Split,
    shown: Shown,
    on_done: Callable[[int], None],
) -> Iterator[TaskRow]:
    """Writes each clip's file, and gives its row."""
    folder.mkdir(parents=True, exist_ok=True)
    for clip in clips:
        path = folder / f"{clip.name}.gif"
        path.write_bytes(clip_gif(clip.drawing, shown))
        on_done(1)
        yield TaskRow(
            row_id=clip.name,
            split=split,
            task=clip.task,
            question=QUESTIONS[clip.question],
            medium=MediaFile("video", path),
            target=_WORDS[clip.answer],
            reference={"answer": _WORDS[clip.answer]},
        )


def clip_gif(drawing: Drawing, shown: Shown = Shown.CLIP) -> bytes:
    """A GIF of the frames that the model is given."""
    match shown:
        case Shown.CLIP:
            shown_FSS3 = frames(drawing, NUM_FRAMES, SIDE)
        case Shown.LAST_FRAME:
            shown_FSS3 = frames(drawing, NUM_FRAMES, SIDE)[-1:]
        case Shown.LAST_FRAME_IN_COLOUR:
            shown_FSS3 = last_frame_in_colour(drawing, SIDE)[None]
    return media.encode_gif(
        media.Clip(shown_FSS3, round(100 * drawing.seconds / (NUM_FRAMES - 1)) * 10)
    )


def _changed(drawing: Drawing, rng: np.random.Generator) -> dict[str, Drawing]:
    """What is made of an original's ink, by the question that it is asked."""
    return {
        "reversed": played_backwards(drawing),
        "shuffled": with_strokes_shuffled(drawing, rng),
    }


def _pair(
    name: str, question: str, original: Drawing, other: Drawing, suffix: str = ""
) -> Iterator[Clip]:
    for drawing, answer in ((original, False), (other, True)):
        clip_name = f"{name}-{question}-{_WORDS[answer]}"
        yield Clip(clip_name, drawing, question, answer, question + suffix)
