"""Programs as scorers: the world's checkers, and those of services/common/checks."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.preprocessing.conversation import TokenIds, Turn
from services.common.checks import CHECKS, Check
from services.common.world import checkers
from services.reward.batcher import Prepared
from services.reward.scorers.batched import BatchedScorer, ScorerTools
from services.reward.scorers.contract import (
    ItemRejected,
    Outcome,
    ScorerInfo,
    ScoreStatus,
    ScoringItem,
)


@dataclass(frozen=True, slots=True)
class Exercise:
    """An answer with what it is checked against."""

    task: str
    reference: Mapping[str, Any]
    answer: Turn


Program = Callable[[Exercise], Outcome]


class ProgramScorer(BatchedScorer[Exercise]):
    """Runs a program on each item, in a thread."""

    def __init__(self, name: str, program: Program, tools: ScorerTools) -> None:
        super().__init__(ScorerInfo(name, "program", "global"), tools)
        self._program = program

    def prepare(self, item: ScoringItem) -> Prepared[Exercise]:
        if any(isinstance(part, TokenIds) for part in item.answer.parts):
            raise ItemRejected(
                "the answer holds tokens, which a program cannot read; send its text and media"
            )
        return Prepared(Exercise(item.task, _reference_of(item), item.answer))

    async def execute(self, batch: Sequence[Exercise]) -> list[Outcome]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._check_all, batch)

    def _check_all(self, batch: Sequence[Exercise]) -> list[Outcome]:
        return [self._check(exercise) for exercise in batch]

    def _check(self, exercise: Exercise) -> Outcome:
        try:
            return self._program(exercise)
        except ValueError as error:  # a reference or a picture that did not arrive whole
            return Outcome.not_scored(ScoreStatus.REJECTED, str(error))


def world(exercise: Exercise) -> Outcome:
    """`program/world`: the default world's checker of the family that the item's task names."""
    result = checkers.check(exercise.task, exercise.reference, exercise.answer)
    return Outcome.scored(result.score, subscores=result.subscores)


def checked(check: Check) -> Program:
    """A check of answers as a program."""

    def program(exercise: Exercise) -> Outcome:
        result = check(exercise.reference, exercise.answer)
        return Outcome.scored(result.score, subscores=result.subscores)

    return program


PROGRAMS: Mapping[str, Program] = {
    "program/world": world,
    **{name: checked(check) for name, check in CHECKS.items()},
}


def _reference_of(item: ScoringItem) -> Mapping[str, Any]:
    if not item.reference_json:
        raise ItemRejected("the item has no reference_json, which a program checks against")
    try:
        reference = json.loads(item.reference_json)
    except ValueError as error:
        raise ItemRejected(f"reference_json is not JSON: {error}") from error
    if not isinstance(reference, dict):
        raise ItemRejected(f"reference_json must be an object, it is {type(reference).__name__}")
    return reference
