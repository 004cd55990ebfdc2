"""Writes the task files (services/common/dataset.py) that an experiment trains and measures on."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Split = Literal["train", "heldout"]


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A picture, a recording or a clip in a file of its own."""

    kind: Literal["image", "audio", "video"]
    path: Path

    def as_part(self) -> dict[str, str]:
        """As a message names it."""
        return {"type": self.kind, "path": str(self.path.absolute())}


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One question; `reference` is what a program checks against, `target` what is imitated."""

    row_id: str
    split: Split
    task: str
    question: str
    medium: MediaFile | None
    target: str | MediaFile
    reference: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """A row of the file."""
        media = [] if self.medium is None else [self.medium.as_part()]
        content = [*media, {"type": "text", "text": self.question}]
        is_text = isinstance(self.target, str)
        return {
            "id": self.row_id,
            "messages": [{"role": "user", "content": content}],
            "reference": self.reference,
            "target": self.target if isinstance(self.target, str) else self.target.as_part(),
            "split": self.split,
            "output": "text" if is_text else "image",
            "task": self.task,
        }


def write_task(path: Path, rows: Iterable[TaskRow]) -> Path:
    """Writes a task file, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row.as_json()) + "\n" for row in rows))
    return path
