"""Reads the emoji: pictures cut from sprite sheets, with their English names.

They lie on the grey of the default world's pictures, which the image tokenizer can draw: white it
cannot (docs/decisions.md). Left out are trade marks, and the skin tones of a picture that is there
without one, which would make the same drawing many. Of pictures with the same name the first is
kept.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError

from services.cli.errors import UserError
from services.cli.experiments.task_file import Split
from services.common.world.drawing import BACKGROUND

_BRANDS = "brand"


@dataclass(frozen=True, slots=True, eq=False)
class Emoji:
    """One picture, 72×72, and what it is called; a `subgroup` is written kind/subgroup."""

    hexcode: str
    name: str
    subgroup: str
    picture: Image.Image

    @property
    def kind(self) -> str:
        """Such as "animals nature", which pictures of other subgroups are of too."""
        return self.subgroup.partition("/")[0].replace("-", " ")

    @property
    def caption(self) -> str:
        """Such as "animals nature: hedgehog"."""
        return f"{self.kind}: {self.name}"


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True)
    hexcode: str
    group: str
    subgroups: str
    annotation: str
    skintone: int | str


class _Cell(BaseModel):
    model_config = ConfigDict(frozen=True)
    emoji: _Entry
    top: int
    left: int


class _Sheet(BaseModel):
    model_config = ConfigDict(frozen=True)
    emojiSize: int
    emojis: tuple[_Cell, ...]


def read_emoji(data: Path) -> list[Emoji]:
    """All of them, sheet by sheet. Raises UserError."""
    paths = sorted(data.glob("*.json"))
    if not paths:
        raise UserError(
            f"{data} holds no sprite sheets", "`--data` names the folder openmoji of the data"
        )
    by_name: dict[str, Emoji] = {}
    for path in paths:
        for emoji in _cut(path):
            by_name.setdefault(emoji.name, emoji)
    return list(by_name.values())


def split_by_subgroup(
    emoji: Sequence[Emoji], heldout_share: float, seed: int
) -> dict[Split, list[Emoji]]:
    """No subgroup is in both splits; which one follows from its name and the seed."""
    splits: dict[Split, list[Emoji]] = {"train": [], "heldout": []}
    for one in emoji:
        splits[_split_of(one.subgroup, heldout_share, seed)].append(one)
    return splits


def _split_of(subgroup: str, heldout_share: float, seed: int) -> Split:
    place = int.from_bytes(sha256(f"{seed} {subgroup}".encode()).digest()[:8], "big") / 2**64
    return "heldout" if place < heldout_share else "train"


def _cut(path: Path) -> Iterator[Emoji]:
    try:
        sheet = _Sheet.model_validate(json.loads(path.read_text()))
    except (ValidationError, json.JSONDecodeError) as error:
        raise UserError(f"{path} does not describe a sprite sheet: {error}") from error
    with Image.open(path.with_suffix(".png")) as opened:
        pixels = opened.convert("RGBA")
    for cell in sheet.emojis:
        entry = cell.emoji
        if entry.subgroups == _BRANDS or entry.skintone != "":
            continue
        box = (cell.left, cell.top, cell.left + sheet.emojiSize, cell.top + sheet.emojiSize)
        cut = pixels.crop(box)
        picture = Image.new("RGB", cut.size, BACKGROUND)
        picture.paste(cut, mask=cut.getchannel("A"))
        yield Emoji(
            hexcode=entry.hexcode,
            name=entry.annotation.lower(),
            subgroup=f"{entry.group}/{entry.subgroups}",
            picture=picture,
        )
