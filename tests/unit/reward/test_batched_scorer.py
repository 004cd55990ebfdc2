"""Calls that share rows: who leaves early, who waits on, and what is known afterwards."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.reward.batcher import BatchLimits, Prepared
from services.reward.scorers.batched import BatchedScorer, ScorerTools
from services.reward.scorers.contract import (
    Outcome,
    ScorerInfo,
    ScoreStatus,
    ScoringCall,
    ScoringItem,
)
from tests.unit.reward.tiny_reward import item


class Held(BatchedScorer[str]):
    """Scores the length of an item's task, once it is let go."""

    def __init__(self, tools: ScorerTools) -> None:
        super().__init__(ScorerInfo("held", "program", "global"), tools)
        self.may_go = asyncio.Event()
        self.computed: list[str] = []

    def prepare(self, item: ScoringItem) -> Prepared[str]:
        return Prepared(item.task)

    def content(self, item: ScoringItem) -> bytes:
        return item.task.encode()

    async def execute(self, batch: Sequence[str]) -> list[Outcome]:
        await self.may_go.wait()
        self.computed += batch
        return [
            Outcome.scored(float(len(task)))
            if task
            else Outcome.not_scored(ScoreStatus.FAILED, "nothing")
            for task in batch
        ]


@pytest.fixture
def tools() -> Iterator[ScorerTools]:
    with ThreadPoolExecutor(1) as threads:
        limits = BatchLimits(4, 100, 0.0, 16)
        yield ScorerTools(threads, limits, lambda run: None, lambda how: None, max_known=2)


def call(*tasks: str, deadline_s: float | None = None) -> ScoringCall:
    return ScoringCall([item(task=task) for task in tasks], deadline_s=deadline_s)


async def test_a_call_that_must_end_leaves_what_another_waits_for(tools: ScorerTools) -> None:
    scorer = Held(tools)
    soon_s = asyncio.get_running_loop().time() + 0.05
    ending = asyncio.create_task(scorer.score(call("same", deadline_s=soon_s)))
    staying = asyncio.create_task(scorer.score(call("same")))
    [late] = (await ending).outcomes
    assert late.status is ScoreStatus.TIMEOUT
    scorer.may_go.set()
    [score] = (await staying).outcomes
    assert score.reward == 4
    assert scorer.computed == ["same"]
    await scorer.close()


async def test_scores_are_known_afterwards_and_failures_are_not(tools: ScorerTools) -> None:
    scorer = Held(tools)
    scorer.may_go.set()
    for _ in range(2):
        outcomes = (await scorer.score(call("a", "", "bb"))).outcomes
        assert [outcome.reward for outcome in outcomes] == [1, None, 2]
    assert sorted(scorer.computed) == ["", "", "a", "bb"]
    await scorer.score(call("ccc"))  # two are kept: the one that was asked for first goes
    await scorer.score(call("a", "bb"))
    assert scorer.computed.count("a") == 2
    assert scorer.computed.count("bb") == 1
    await scorer.close()


async def test_fixed_batches_neither_share_nor_know(tools: ScorerTools) -> None:
    scorer = Held(tools)
    scorer.may_go.set()
    fixed = ScoringCall([item(task="a"), item(task="a")], deterministic=True)
    await scorer.score(call("a"))
    await scorer.score(fixed)
    assert scorer.computed == ["a", "a", "a"]
    await scorer.close()
