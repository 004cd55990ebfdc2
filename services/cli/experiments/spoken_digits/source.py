"""Reads the spoken digits: recordings of four people, whose file names say digit and speaker."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.cli.errors import UserError
from services.cli.experiments.task_file import Split

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>[a-z]+)_(?P<number>\d+)")


@dataclass(frozen=True, slots=True)
class Recording:
    """One digit, said by one person."""

    digit: int
    speaker: str
    number: int
    path: Path

    @property
    def word(self) -> str:
        """The digit's name."""
        return WORDS[self.digit]


def read_recordings(data: Path) -> list[Recording]:
    """All of them, in the order of their names. Raises UserError."""
    paths = sorted((data / "recordings").glob("*.wav"))
    if not paths:
        raise UserError(
            f"{data} holds no recordings/*.wav",
            "`--data` names the folder spoken-digits of the data",
        )
    return [_recording(path) for path in paths]


def speakers_of(recordings: Sequence[Recording]) -> list[str]:
    """Their names, in order."""
    return sorted({r.speaker for r in recordings})


def leave_out(recordings: Sequence[Recording], speaker: str) -> dict[Split, list[Recording]]:
    """One speaker is held out; the others are trained on. Raises UserError for an unknown one."""
    if speaker not in speakers_of(recordings):
        known = ", ".join(speakers_of(recordings))
        raise UserError(f"there is no speaker {speaker!r}", f"speakers: {known}")
    return {
        "train": [r for r in recordings if r.speaker != speaker],
        "heldout": [r for r in recordings if r.speaker == speaker],
    }


def _recording(path: Path) -> Recording:
    found = _NAME.fullmatch(path.stem)
    if not found:
        raise UserError(f"{path} is not named DIGIT_SPEAKER_NUMBER.wav")
    return Recording(int(found["digit"]), found["speaker"], int(found["number"]), path)
