"""Simulated raters judge pairs, as people would through the same interface.

They are programs, and marked as such wherever their judgements go (RATER_KIND_SIMULATED).
"""

import time
from collections.abc import Iterator, Sequence
from itertools import combinations
from random import Random

from models.preprocessing.conversation import Turn
from protos.v1 import judgement_pb2
from services.cli.experiments.collection import JudgedItem
from services.cli.experiments.pairs import JudgedPair
from services.cli.experiments.settings import JudgingSettings
from services.common.codecs import turn_from_proto
from services.common.errors import NotFound
from services.common.world.raters import (
    PairOutcome,
    SimulatedRater,
    Truth,
    simulated_panel,
    world_truth,
)

_OUTCOMES = {
    PairOutcome.FIRST: judgement_pb2.PAIR_OUTCOME_FIRST,
    PairOutcome.SECOND: judgement_pb2.PAIR_OUTCOME_SECOND,
    PairOutcome.TIE: judgement_pb2.PAIR_OUTCOME_TIE,
    PairOutcome.BOTH_BAD: judgement_pb2.PAIR_OUTCOME_BOTH_BAD,
}


def judge_items(
    items: Sequence[JudgedItem],
    settings: JudgingSettings,
    seed: int,
    truth: Truth = world_truth,
) -> Iterator[judgement_pb2.Judgement]:
    """Judgements of pairs of unequal answers; sides are drawn, and said."""
    panel = simulated_panel(settings.raters, seed, truth)
    for judged in items:
        rng = Random(f"demo raters {seed} {judged.item_id}")
        turns = [turn_from_proto(answer.message, _no_media_by_hash) for answer in judged.answers]
        pairs = [p for p in combinations(range(len(turns)), 2) if turns[p[0]] != turns[p[1]]]
        for pair in rng.sample(pairs, min(settings.pairs_per_item, len(pairs))):
            num_raters = 2 if rng.random() < settings.repeat_share else 1
            for rater in rng.sample(panel, min(num_raters, len(panel))):
                yield _judge(judged, turns, pair, rater, rng.random() < 0.5)


def decided_pairs(
    items: Sequence[JudgedItem], judgements: Sequence[judgement_pb2.Judgement]
) -> list[JudgedPair]:
    """The pairs in which a rater preferred one answer."""
    family_of = {judged.item_id: judged.item.family for judged in items}
    decided = []
    for judgement in judgements:
        pair, family = judgement.pair, family_of[judgement.item_id]
        first, second = pair.first_candidate_id, pair.second_candidate_id
        if pair.outcome == judgement_pb2.PAIR_OUTCOME_FIRST:
            decided.append(JudgedPair(family, first, second))
        elif pair.outcome == judgement_pb2.PAIR_OUTCOME_SECOND:
            decided.append(JudgedPair(family, second, first))
    return decided


def _judge(
    judged: JudgedItem,
    turns: Sequence[Turn],
    pair: tuple[int, int],
    rater: SimulatedRater,
    first_is_left: bool,
) -> judgement_pb2.Judgement:
    first, second = (judged.candidate_id(index) for index in pair)
    outcome = rater.judge_pair(
        judged.item.reference,
        judged.item.family,
        turns[pair[0]],
        turns[pair[1]],
        first_is_left,
    )
    return judgement_pb2.Judgement(
        idempotency_key=f"{first}:{second}:{rater.name}",
        item_id=judged.item_id,
        rater_id=rater.name,
        rater_kind=judgement_pb2.RATER_KIND_SIMULATED,
        judged_at_s=time.time(),
        pair=judgement_pb2.PairJudgement(
            first_candidate_id=first,
            second_candidate_id=second,
            outcome=_OUTCOMES[outcome],
            shown_left_candidate_id=first if first_is_left else second,
        ),
    )


def _no_media_by_hash(sha256: str) -> bytes:
    raise NotFound(f"an answer names media {sha256} by hash; rollouts carry bytes")
