"""Task items from any source: the default world, or a user's JSONL file with media beside it.

A row's message holds words, or parts {"type": "text", "text"} and {"type": "image", "audio" or
"video", "path"}; its target is words or a picture.

A source is an endless sequence that is a pure function of its settings: item i is always the same,
so a run needs no position but its step. Read by the trainer, the command line and the demo.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from models.preprocessing.conversation import (
    Audio,
    Conversation,
    Part,
    Picture,
    Role,
    Text,
    Turn,
    Video,
)
from services.common.world.families.exercise import FAMILIES, Family
from services.common.world.items import make_item
from services.common.world.sampling import DEFAULT_LEVEL, Split

Output = Literal["text", "image"]


@dataclass(frozen=True, slots=True, eq=False)
class TaskItem:
    """One prompt, with what its answer is checked against and, perhaps, a right answer."""

    item_id: str
    family: str
    split: str
    conversation: Conversation
    target: Turn | None
    reference: dict[str, Any]
    output: Output


class TaskSource(Protocol):
    """An endless sequence of items."""

    def take(self, start: int, count: int) -> list[TaskItem]:
        """Items start … start + count - 1."""
        ...


class DatasetError(ValueError):
    """A data file that cannot be used; the message names the line and the field."""


class WorldSource:
    """Items of the default world, its families in turn (name one twice to double its share)."""

    def __init__(
        self,
        families: Sequence[Family] = FAMILIES,
        split: Split = "train",
        level: int = DEFAULT_LEVEL,
        seed: int = 0,
    ) -> None:
        self._families, self._split, self._level, self._seed = families, split, level, seed

    def take(self, start: int, count: int) -> list[TaskItem]:
        """See TaskSource; no item comes twice."""
        return [self._item(index) for index in range(start, start + count)]

    def _item(self, index: int) -> TaskItem:
        family = self._families[index % len(self._families)]
        item = make_item(family, self._split, index, self._level, self._seed)
        return TaskItem(
            item_id=item.item_id,
            family=family,
            split=self._split,
            conversation=item.conversation,
            target=item.target,
            reference=item.reference,
            output="image" if item.target_pixels is not None else "text",
        )


class JsonlSource:
    """The rows of one split of a JSONL file, in a new order of the seed's in each epoch."""

    def __init__(self, path: Path, split: str = "train", seed: int = 0) -> None:
        self._path, self._seed = path, seed
        self._rows = [row for row in _read_rows(path) if row.split == split]
        if not self._rows:
            raise DatasetError(f"{path} has no row of split {split!r}")

    def __len__(self) -> int:
        return len(self._rows)

    def items(self) -> list[TaskItem]:
        """Every row once, in the file's order."""
        return [self._item(row) for row in self._rows]

    def take(self, start: int, count: int) -> list[TaskItem]:
        """See TaskSource; every row comes once before any comes again."""
        size = len(self._rows)
        epochs = range(start // size, (start + count - 1) // size + 1)
        orders = {epoch: self._order(epoch) for epoch in epochs}
        places = (divmod(index, size) for index in range(start, start + count))
        return [self._item(self._rows[orders[epoch][position]]) for epoch, position in places]

    def _order(self, epoch: int) -> list[int]:
        order = list(range(len(self._rows)))
        Random(f"{self._seed}-{epoch}").shuffle(order)
        return order

    def _item(self, row: "_Row") -> TaskItem:
        folder = self._path.parent
        return TaskItem(
            item_id=row.id,
            family=row.task or self._path.stem,
            split=row.split,
            conversation=tuple(_turn(m.role, m.content, folder) for m in row.messages),
            target=_turn(Role.ASSISTANT, row.target, folder) if row.target else None,
            reference=row.reference,
            output=row.output,
        )


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _TextPart(_Section):
    type: Literal["text"]
    text: str


class _ImagePart(_Section):
    type: Literal["image"]
    path: str


class _AudioPart(_Section):
    type: Literal["audio"]
    path: str


class _VideoPart(_Section):
    type: Literal["video"]
    path: str


def _as_parts(content: object) -> object:
    """Words, or a part, as a list of one; so that an error names the part and not the choice."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [content] if isinstance(content, dict) else content


_Part = _TextPart | _ImagePart | _AudioPart | _VideoPart
_TargetPart = _TextPart | _ImagePart
_Content = Annotated[
    list[Annotated[_Part, Field(discriminator="type")]], BeforeValidator(_as_parts)
]
_Target = Annotated[
    list[Annotated[_TargetPart, Field(discriminator="type")]],
    Field(min_length=1, max_length=1),
    BeforeValidator(_as_parts),
]


class _Message(_Section):
    role: Role
    content: _Content


class _Row(_Section):
    id: str = Field(min_length=1)
    messages: list[_Message] = Field(min_length=1)
    reference: dict[str, Any] = {}
    target: _Target | None = None
    split: Literal["train", "heldout"] = "train"
    output: Output = "text"
    task: str = ""


def _read_rows(path: Path) -> list[_Row]:
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error
    rows = [_read_row(path, n, line) for n, line in enumerate(lines, 1) if line.strip()]
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            raise DatasetError(f"{path}: id {row.id!r} stands in two rows; ids must be unique")
        seen.add(row.id)
    return rows


def _read_row(path: Path, number: int, line: str) -> _Row:
    try:
        row = _Row.model_validate(json.loads(line))
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path}, line {number}: not JSON: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise DatasetError(f"{path}, line {number}, {field}: {first['msg']}") from error
    for media in _media(row):
        if not (path.parent / media).is_file():
            raise DatasetError(f"{path}, line {number}: no file {path.parent / media}")
    return row


def _media(row: _Row) -> list[str]:
    parts = [part for message in row.messages for part in message.content]
    return [part.path for part in (*parts, *(row.target or ())) if part.type != "text"]


def _turn(role: Role, parts: Sequence[_Part], folder: Path) -> Turn:
    return Turn(role, tuple(_part(part, folder) for part in parts))


def _part(part: _Part, folder: Path) -> Part:
    match part:
        case _TextPart():
            return Text(part.text)
        case _ImagePart():
            return Picture((folder / part.path).read_bytes())
        case _AudioPart():
            return Audio((folder / part.path).read_bytes())
        case _VideoPart():
            return Video((folder / part.path).read_bytes())
