from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from services.cli.errors import UserError
from services.cli.experiments.spoken_digits.augmentation import vary
from services.cli.experiments.spoken_digits.importing import rows_without, write_variants
from services.cli.experiments.spoken_digits.source import (
    WORDS,
    leave_out,
    read_recordings,
    speakers_of,
)
from services.cli.experiments.task_file import write_task
from services.common.dataset import JsonlSource
from tests.support.recordings import encoded, sine

_DATA = Path(__file__).parents[4] / "shared" / "data" / "spoken-digits"


@pytest.fixture
def some(tmp_path):
    """Two recordings of each of two people, made here."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for speaker in ("ann", "bob"):
        for number in range(2):
            samples = sine(0.4, 200 + 50 * number, rate=8000)
            (folder / f"{number}_{speaker}_{number}.wav").write_bytes(encoded(samples, rate=8000))
    return read_recordings(tmp_path)


@pytest.mark.data
def test_four_people_said_each_digit_fifty_times():
    if not _DATA.is_dir():
        pytest.skip(f"no data at {_DATA}")
    recordings = read_recordings(_DATA)
    assert Counter((r.speaker, r.word) for r in recordings) == {
        (speaker, word): 50
        for speaker in ("george", "jackson", "lucas", "nicolas")
        for word in WORDS
    }


def test_no_recording_or_variant_of_the_speaker_who_is_held_out_is_trained_on(some, tmp_path):
    variants = write_variants(some, tmp_path / "variants", 2, 0, lambda count: None)
    rows = rows_without(some, variants, "bob")
    train = [row for row in rows if row.split == "train"]
    heldout = [row for row in rows if row.split == "heldout"]
    assert len(train) == 2 * (1 + 2)
    assert all("_ann_" in row.medium.path.name for row in train)
    assert [row.medium.path for row in heldout] == [r.path for r in some if r.speaker == "bob"]
    assert {row.task for row in heldout} == {"bob"}


def test_the_task_file_reads_as_a_task_of_recordings(some, tmp_path):
    path = write_task(tmp_path / "task" / "data.jsonl", rows_without(some, {}, "ann"))
    [item, _] = JsonlSource(path, "heldout").items()
    recording, question = item.conversation[0].parts
    assert recording.data == some[0].path.read_bytes()
    assert question.text == "transcribe."
    assert item.reference == {"answer": "zero"}
    assert item.target.parts[0].text == "zero"


def test_an_unknown_speaker_is_said_with_those_there_are(some):
    assert speakers_of(some) == ["ann", "bob"]
    with pytest.raises(UserError, match="no speaker 'eve'"):
        leave_out(some, "eve")


def test_a_variant_depends_on_its_seed_alone_and_is_a_whole_recording(some):
    samples, rate = soundfile.read(some[0].path, dtype="float32")
    first, again, other = (vary(samples, rate, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert len(first) != len(other) or not np.allclose(first, other)
    for variant in (first, other):
        assert variant.dtype == np.float32
        assert np.isfinite(variant).all()
        assert 0.05 < np.abs(variant).max() <= 1
        assert 0.4 * len(samples) < len(variant) < 2.5 * len(samples) + rate


def test_variants_differ_in_pitch(some):
    samples, rate = soundfile.read(some[0].path, dtype="float32")
    pitches = []
    for seed in range(16):
        spectrum = np.abs(np.fft.rfft(vary(samples, rate, np.random.default_rng(seed)), 8 * rate))
        pitches.append(round(float(spectrum.argmax()) / 8))
    heard = {pitch for pitch in pitches if 175 < pitch < 230}  # of 200 Hz, 8 or 9 % away
    assert len(heard) > 6
    assert sum(pitch not in heard for pitch in pitches) < 4  # where a filter took the tone away


def test_a_folder_without_recordings_is_said_with_what_it_should_hold(tmp_path):
    with pytest.raises(UserError, match=r"holds no recordings/\*\.wav"):
        read_recordings(tmp_path)
