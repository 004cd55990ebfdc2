"""Recordings with variants of those that are trained on, as files and rows of a task."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
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
    """Files of the variants of each recording, by the recording's path; made on all cores.

    They depend on the recording, its number and the seed, so folds can share them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write = partial(_write_variants_of, folder=folder, num_variants=num_variants, seed=seed)
    variants: dict[Path, list[Path]] = {}
    with ProcessPoolExecutor(mp_context=get_context("forkserver")) as processes:
        written = processes.map(write, recordings, chunksize=20)
        for recording, paths in zip(recordings, written, strict=True):
            variants[recording.path] = paths
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


def _write_variants_of(
    recording: Recording, folder: Path, num_variants: int, seed: int
) -> list[Path]:
    samples, sample_rate = soundfile.read(recording.path, dtype="float32")
    paths = []
    for variant in range(num_variants):
        place = (seed, recording.digit, recording.number, variant)
        rng = np.random.default_rng([*place, *recording.speaker.encode()])
        path = folder / f"{recording.path.stem}-{variant}.wav"
        path.write_bytes(encode_wav(vary(samples, sample_rate, rng), sample_rate))
        paths.append(path)
    return paths


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
