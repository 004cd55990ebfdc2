"""Simulated raters: programs that judge answers somewhat as people do, from a checker's truth.

They stand in for people in experiments and in tests, are named as simulated wherever their
judgements go, and see truth only through noise. Like people they call close answers a tie and two
poor ones both bad, lean to the answer shown on the left, and now and then click at random.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from random import Random
from typing import Any

from models.preprocessing.conversation import Audio, Picture, Text, Turn, Video
from services.common.world.checkers import check

# The score of an answer, 0 to 1, by its family and reference.
Truth = Callable[[str, Mapping[str, Any], Turn], float]


def world_truth(family: str, reference: Mapping[str, Any], answer: Turn) -> float:
    """What the world's checkers say; an answer is seen in several pairs and by several raters."""
    return _world_score(family, json.dumps(reference, sort_keys=True), answer)


class PairOutcome(StrEnum):
    """Which of two answers is better; names answers, never sides of the screen."""

    FIRST = "first"
    SECOND = "second"
    TIE = "tie"
    BOTH_BAD = "both_bad"


@dataclass(frozen=True, slots=True)
class SimulatedRater:
    """One rater with habits of its own. The same question always gets the same judgement.

    All in units of `truth`, 0 to 1: `noise` is the standard deviation of its opinion of an answer,
    `tie_margin` the difference below which it calls a tie, `both_bad_below` the opinion below which
    an answer is bad, `left_bias` what being shown on the left adds. `lapse_rate` is the share of
    pairs that it judges at random.
    """

    name: str
    seed: int = 0
    noise: float = 0.1
    tie_margin: float = 0.08
    both_bad_below: float = 0.25
    left_bias: float = 0.03
    lapse_rate: float = 0.02
    truth: Truth = field(default=world_truth, repr=False)

    def judge_pair(
        self,
        reference: Mapping[str, Any],
        family: str,
        first: Turn,
        second: Turn,
        first_is_left: bool = True,
    ) -> PairOutcome:
        """Its judgement of two answers to the item of `reference`, shown side by side."""
        side = "left" if first_is_left else "right"
        rng = self._stream("pair", family, reference, side, first, second)
        if rng.random() < self.lapse_rate:
            return rng.choice(list(PairOutcome))
        first_opinion = self._opinion(reference, family, first)
        second_opinion = self._opinion(reference, family, second)
        if max(first_opinion, second_opinion) < self.both_bad_below:
            return PairOutcome.BOTH_BAD
        lean = self.left_bias if first_is_left else -self.left_bias
        margin = first_opinion - second_opinion + lean
        if abs(margin) < self.tie_margin:
            return PairOutcome.TIE
        return PairOutcome.FIRST if margin > 0 else PairOutcome.SECOND

    def rate(
        self,
        reference: Mapping[str, Any],
        family: str,
        answer: Turn,
        scale_min: int = 1,
        scale_max: int = 5,
    ) -> int:
        """Its rating of one answer on a scale of whole numbers, both ends included."""
        opinion = min(max(self._opinion(reference, family, answer), 0.0), 1.0)
        return scale_min + round(opinion * (scale_max - scale_min))

    def _opinion(self, reference: Mapping[str, Any], family: str, answer: Turn) -> float:
        """Truth with noise that belongs to the answer, so that equal answers are seen alike."""
        noise = self._stream("opinion", family, reference, "", answer).gauss(0, self.noise)
        return self.truth(family, reference, answer) + noise

    def _stream(
        self, purpose: str, family: str, reference: Mapping[str, Any], side: str, *answers: Turn
    ) -> Random:
        item = json.dumps(reference, sort_keys=True)
        asked = [purpose, family, item, side, *map(_content_digest, answers)]
        return Random(json.dumps([self.name, self.seed, *asked]))


def simulated_panel(
    num_raters: int, seed: int = 0, truth: Truth = world_truth
) -> list[SimulatedRater]:
    """Raters who differ in care and habits, named `simulated-0`, `simulated-1`, …"""
    rng = Random(f"simulated panel {seed}")
    return [
        SimulatedRater(
            name=f"simulated-{index}",
            seed=seed,
            noise=rng.uniform(0.05, 0.2),
            tie_margin=rng.uniform(0.04, 0.12),
            both_bad_below=rng.uniform(0.15, 0.35),
            left_bias=rng.uniform(0.0, 0.06),
            lapse_rate=rng.uniform(0.0, 0.05),
            truth=truth,
        )
        for index in range(num_raters)
    ]


@lru_cache(maxsize=1024)
def _world_score(family: str, reference: str, answer: Turn) -> float:
    return check(family, json.loads(reference), answer).score


def _content_digest(answer: Turn) -> str:
    digest = hashlib.sha256()
    for part in answer.parts:
        match part:
            case Text(text):
                digest.update(b"text" + text.encode() + b"\0")
            case Picture(data) | Audio(data) | Video(data):
                kind = type(part).__name__.lower()
                digest.update(kind.encode() + hashlib.sha256(data).digest())
    return digest.hexdigest()
