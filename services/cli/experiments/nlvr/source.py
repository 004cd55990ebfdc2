"""Reads NLVR's dev folder: sentences, labels, votes, pictures in six renderings."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from services.cli.errors import UserError

Answer = Literal["true", "false"]
Vote = Literal["true", "false", "nonsense"]
Split = Literal["train", "heldout"]
ANSWERS: tuple[Answer, Answer] = ("true", "false")
# How the policy says them: the words with which the base answers its own questions.
WORDS: dict[Answer, str] = {"true": "yes", "false": "no"}


@dataclass(frozen=True, slots=True)
class NlvrExample:
    """One sentence about one picture; `votes` by the raters' pseudonyms."""

    example_id: str
    sentence: str
    label: Answer
    votes: dict[str, Vote]
    folder: Path

    def picture(self, rendering: int = 0) -> Path:
        """The picture, its three boxes in one of six orders."""
        return self.folder / f"dev-{self.example_id}-{rendering}.png"

    @property
    def question(self) -> str:
        """What is asked about the picture."""
        return f"look and answer: is it true that {self.sentence.strip(' .').lower()}?"

    @property
    def majority(self) -> Answer:
        """What most of those voted who found sense in it; the votes of the data never tie."""
        return "true" if 2 * self.decided.count("true") > len(self.decided) else "false"

    @property
    def decided(self) -> list[Answer]:
        """The votes for one of the answers."""
        return [vote for vote in self.votes.values() if vote != "nonsense"]


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True)
    sentence: str
    label: Answer
    identifier: str
    directory: str
    evals: dict[str, Vote]


def read_examples(data: Path) -> list[NlvrExample]:
    """Every example of the dev set, in the file's order. Raises UserError."""
    path = data / "dev" / "dev.json"
    if not path.is_file():
        raise UserError(
            f"{data} holds no dev/dev.json",
            "`--data` names the folder nlvr of the data, with dev/dev.json and dev/images",
        )
    lines = path.read_text().splitlines()
    return [_example(path, n, line) for n, line in enumerate(lines, 1) if line.strip()]


def split_by_sentence(
    examples: Sequence[NlvrExample], heldout_share: float, seed: int
) -> dict[Split, list[NlvrExample]]:
    """No sentence is in both splits; which one follows from its words and the seed."""
    splits: dict[Split, list[NlvrExample]] = {"train": [], "heldout": []}
    for example in examples:
        splits[_split_of(example.sentence, heldout_share, seed)].append(example)
    return splits


def _split_of(sentence: str, heldout_share: float, seed: int) -> Split:
    words = " ".join(sentence.lower().strip(" .").split())
    place = int.from_bytes(sha256(f"{seed} {words}".encode()).digest()[:8], "big") / 2**64
    return "heldout" if place < heldout_share else "train"


def _example(path: Path, number: int, line: str) -> NlvrExample:
    try:
        row = _Row.model_validate(json.loads(line))
    except (ValidationError, json.JSONDecodeError) as error:
        raise UserError(f"{path}, line {number} is not an NLVR example: {error}") from error
    folder = path.parent / "images" / row.directory
    votes = {_pseudonym(rater): vote for rater, vote in row.evals.items()}
    example = NlvrExample(row.identifier, row.sentence, row.label, votes, folder)
    if not example.picture().is_file():
        raise UserError(f"{path}, line {number}: there is no picture {example.picture()}")
    return example


def _pseudonym(rater: str) -> str:
    """A stable name that says where the rater's votes are from and not what they were called."""
    return f"nlvr-{sha256(f'nlvr rater {rater}'.encode()).hexdigest()[:10]}"
