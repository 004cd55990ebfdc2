"""The language of the world: phrases and sentences about scenes, written and read.

`a small red circle left of a large blue square, a large green cross below the red circle`
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import cast

from services.common.world.scenes import (
    COLORS,
    OPPOSITE,
    RELATIONS,
    SHAPES,
    SIZES,
    Color,
    Relation,
    Scene,
    Shape,
    Size,
)

MAX_ANSWER_CHARS = 400

_NAME = rf"({'|'.join(COLORS)}) ({'|'.join(SHAPES)})"
_PHRASE = rf"(?:(?:an?|the) )?(?:({'|'.join(SIZES)}) )?{_NAME}"
_PHRASE_PATTERN = re.compile(_PHRASE)
_STATEMENT_PATTERN = re.compile(
    rf"(?:there is )?{_PHRASE}(?: (?:is )?(?:to the )?({'|'.join(RELATIONS)}) {_PHRASE})?"
)
_SEPARATOR = re.compile(r"\s*[,;]\s*(?:and )?|\s+and\s+")


@dataclass(frozen=True, slots=True)
class Phrase:
    """A thing as words name it; the size is None where it is not told."""

    color: Color
    shape: Shape
    size: Size | None = None

    @property
    def name(self) -> str:
        """Color and shape: enough to tell it from the rest of its scene."""
        return f"{self.color} {self.shape}"

    def __str__(self) -> str:
        return f"{self.size} {self.name}" if self.size else self.name


@dataclass(frozen=True, slots=True)
class Statement:
    """That a thing is there and, with a relation, how it lies to another."""

    subject: Phrase
    relation: Relation | None = None
    anchor: Phrase | None = None


def phrases_of(scene: Scene) -> list[Phrase]:
    """The phrase for each thing, in the scene's order."""
    named = scene.names_sizes
    return [Phrase(t.color, t.shape, t.size if named else None) for t in scene.things]


def statements_of(scene: Scene, rng: Random | None = None) -> list[tuple[int, Relation, int]]:
    """The relations that a sentence tells: one fewer than there are things, and they join all.

    The first thing is related to another, each further one to the first of those already named.
    With `rng`, the first relation is turned round half the time.
    """
    relations = scene.relations()
    if not relations:
        return []
    first, relation, second = relations[0]
    named = {first, second}
    told = [(first, relation, second)]
    for index in range(len(scene.things)):
        if index not in named:
            told.append(_tie(index, named, relations))
            named.add(index)
    if rng is not None and rng.random() < 0.5:
        told[0] = (second, OPPOSITE[relation], first)
    return told


def sentence_of(scene: Scene, told: Iterable[tuple[int, Relation, int]] | None = None) -> str:
    """The sentence that tells all things and the relations of `told` (default: the canonical ones).

    A thing is `a …` when it is first named and `the …`, without its size, from then on.
    """
    phrases = phrases_of(scene)
    told = statements_of(scene) if told is None else told
    named: set[int] = set()

    def mention(index: int) -> str:
        if index in named:
            return f"the {phrases[index].name}"
        named.add(index)
        return f"a {phrases[index]}"

    clauses = [f"{mention(i)} {relation} {mention(j)}" for i, relation, j in told]
    return ", ".join(clauses) if clauses else mention(0)


def read_sentence(text: str) -> list[Statement] | None:
    """The statements of a sentence, or None when it is not in the language of the world.

    Clauses may be joined by commas, semicolons or `and`; articles, `there is`, `is` and `to the`
    may be left out or put in.
    """
    if len(text) > MAX_ANSWER_CHARS:
        return None
    statements = []
    for clause in _SEPARATOR.split(normalized(text)):
        match = _STATEMENT_PATTERN.fullmatch(clause)
        if match is None:
            return None
        size, color, shape, relation, *anchor = match.groups()
        subject = _phrase(size, color, shape)
        if relation is None:
            statements.append(Statement(subject))
        else:
            statements.append(Statement(subject, cast(Relation, relation), _phrase(*anchor)))
    return statements


def read_phrase(text: str) -> Phrase | None:
    """The phrase that the text is, with or without an article, or None."""
    match = _PHRASE_PATTERN.fullmatch(normalized(text))
    return None if match is None else _phrase(*match.groups())


def normalized(text: str) -> str:
    """Lower case, single spaces, no full stop at the end."""
    return " ".join(text.lower().split()).removesuffix(".").rstrip()


def _phrase(size: str | None, color: str, shape: str) -> Phrase:
    return Phrase(cast(Color, color), cast(Shape, shape), cast(Size | None, size))


def _tie(
    index: int, named: set[int], relations: list[tuple[int, Relation, int]]
) -> tuple[int, Relation, int]:
    """The relation of a thing to the first named one that it lies clearly to."""
    for i, relation, j in relations:
        if j == index and i in named:
            return index, OPPOSITE[relation], i
        if i == index and j in named:
            return index, relation, j
    raise AssertionError("things in the corners always lie clearly to a named neighbor")
