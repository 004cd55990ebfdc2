"""Programs: the world's families, exact answers, and items that cannot be checked."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from models.preprocessing.conversation import Role, TokenIds, Turn
from services.common.world.families.exercise import FAMILIES
from services.common.world.items import make_item
from services.reward.batcher import BatchLimits
from services.reward.scorers.batched import ScorerTools
from services.reward.scorers.contract import Outcome, ScoreStatus, ScoringCall, ScoringItem
from services.reward.scorers.program import PROGRAMS, ProgramScorer
from tests.unit.reward.tiny_reward import answered, asked, item, picture


@pytest.fixture
def tools() -> Iterator[ScorerTools]:
    with ThreadPoolExecutor(1) as threads:
        limits = BatchLimits(
            max_rows=32, max_padded_tokens=1000, max_delay_s=0.0, max_queued_rows=100
        )
        yield ScorerTools(threads, limits, lambda run: None, lambda how: None)


async def score(tools: ScorerTools, name: str, items: list[ScoringItem]) -> list[Outcome]:
    scorer = ProgramScorer(name, PROGRAMS[name], tools)
    async with asyncio.timeout(10):
        scored = await scorer.score(ScoringCall(items))
        await scorer.close()
    return scored.outcomes


def world_item(family: str, answer: Turn | None = None, **fields: str) -> ScoringItem:
    world = make_item(family, "train", 0)
    given = {"task": family, "reference_json": json.dumps(world.reference)} | fields
    return ScoringItem(world.item_id, world.conversation, answer or world.target, **given)


@pytest.mark.parametrize("family", FAMILIES)
async def test_the_worlds_own_answer_scores_high_and_another_low(
    tools: ScorerTools, family: str
) -> None:
    other = answered(picture(1)) if family == "draw" else answered("nothing of the kind")
    right, wrong = await score(
        tools, "program/world", [world_item(family), world_item(family, other)]
    )
    assert right.status is ScoreStatus.SCORED
    assert right.reward is not None
    assert right.reward > 0.95
    assert right.subscores["strict"] == 1.0
    assert wrong.status is ScoreStatus.SCORED
    assert wrong.reward == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"reference_json": ""}, "no reference_json"),
        ({"reference_json": "{"}, "not JSON"),
        ({"reference_json": "[1]"}, "must be an object"),
        ({"reference_json": "{}"}, "reference is not valid"),
        ({"task": "sing"}, "family is 'sing'"),
    ],
)
async def test_an_item_without_a_usable_reference_is_rejected(
    tools: ScorerTools, fields: dict[str, str], error: str
) -> None:
    [outcome] = await score(tools, "program/world", [world_item("caption", **fields)])
    assert outcome.status is ScoreStatus.REJECTED
    assert outcome.reward is None
    assert error in outcome.error


async def test_a_picture_that_does_not_decode_is_rejected_not_zero(tools: ScorerTools) -> None:
    cut = answered(picture()[:200])
    [outcome] = await score(tools, "program/world", [world_item("draw", cut)])
    assert outcome.status is ScoreStatus.REJECTED


async def test_tokens_are_rejected_with_what_to_send_instead(tools: ScorerTools) -> None:
    tokens = Turn(Role.ASSISTANT, (TokenIds((3, 4), "fingerprint"),))
    [outcome] = await score(tools, "program/world", [world_item("caption", tokens)])
    assert outcome.status is ScoreStatus.REJECTED
    assert "send its text" in outcome.error


@pytest.mark.parametrize(
    ("wanted", "answer", "reward"),
    [
        ("red circle", "Red  circle.", 1.0),
        ("red circle", "a red circle", 0.0),
        (["yes", "true"], " TRUE\n", 1.0),
        (7, "7", 1.0),
        (True, "true", 1.0),
        ("ﬁve", "five", 1.0),
        ("", "", 1.0),
        ("red", "", 0.0),
    ],
)
async def test_exact_compares_normalised_text(
    tools: ScorerTools, wanted: object, answer: str, reward: float
) -> None:
    reference = json.dumps({"answer": wanted})
    [outcome] = await score(tools, "program/exact", [item(answer, reference_json=reference)])
    assert outcome.reward == reward


async def test_exact_takes_a_picture_for_a_wrong_answer(tools: ScorerTools) -> None:
    both = ScoringItem("1", asked(), answered("red", picture()), reference_json='{"answer": "red"}')
    [outcome] = await score(tools, "program/exact", [both])
    assert outcome.reward == 0.0


async def test_exact_needs_an_answer_in_the_reference(tools: ScorerTools) -> None:
    [outcome] = await score(tools, "program/exact", [item(reference_json="{}")])
    assert outcome.status is ScoreStatus.REJECTED
