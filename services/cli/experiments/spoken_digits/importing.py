"""Recordings with variants of those that are trained on, as files and rows of a task."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile

from models.preprocessing.audio import encode_wav
from services.cli.experiments.spoken_digits.augmentation import vary
from services.cli.experiments.spoken_digits.source import Recording, leave_out
from services.cli.experiments.task_file import MediaFile, Split, TaskRow

QUESTION = "transcribe."


def write_variants(
    recordings: Sequence[Recording],
    folder: Path,
    num_variants: int,
    seed: int,
    on_done: Callable[[int], None],
) -> dict[Path, list[Path]]:
    """Files of the variants of each recording, by the recording's path.

    They depend on the recording, its number and the seed, so folds can share them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    variants: dict[Path, list[Path]] = {}
    for recording in recordings:
        samples, sample_rate = soundfile.read(recording.path, dtype="float32")
        variants[recording.path] = []
        for variant in range(num_variants):
            place = (seed, recording.digit, recording.number, variant)
            rng = np.random.default_rng([*place, *recording.speaker.encode()])
            path = folder / f"{recording.path.stem}-{variant}.wav"
            path.write_bytes(encode_wav(vary(samples, sample_rate, rng), sample_rate))
            variants[recording.path].append(path)
        on_done(1)
    return variants


def rows_without(
    recordings: Sequence[Recording], variants: dict[Path, list[Path]], speaker: str
) -> list[TaskRow]:
    """The task that holds one speaker out: the speaker's recordings as they are, and the others
    as they are and varied. Held-out rows name the speaker as their task, for reports."""
    splits = leave_out(recordings, speaker)
    train = [
        _row(recording, path, "train", "spoken_digits")
        for recording in splits["train"]
        for path in (recording.path, *variants.get(recording.path, []))
    ]
    return train + [_row(r, r.path, "heldout", speaker) for r in splits["heldout"]]


def _row(recording: Recording, path: Path, split: Split, task: str) -> TaskRow:
    return TaskRow(
        row_id=path.stem,
        split=split,
        task=task,
        question=QUESTION,
        medium=MediaFile("audio", path),
        target=recording.word,
        reference={"answer": recording.word},
    )
