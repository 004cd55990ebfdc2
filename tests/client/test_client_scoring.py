"""score against the real reward service."""

import json

import pytest

from attune_client import Answered, AsyncClient, NotScored, ScoreStatus, errors, image
from services.common.world.items import make_item
from tests.support.pictures import png

MODEL = "program/exact"


def answered(answer: str, **fields) -> Answered:
    return Answered("what is 2 + 2?", answer, **{"reference": {"answer": "4"}} | fields)


def test_scores_come_in_the_order_of_their_items(client):
    items = [answered("4", item_id="a"), answered("5", item_id="b")]
    scores = client.score(items, model=MODEL)
    assert scores.rewards() == [1.0, 0.0]
    assert [score.item_id for score in scores] == ["a", "b"]
    assert scores[0].status is ScoreStatus.SCORED
    assert scores[0].error is None
    assert scores.reward_version == MODEL


def test_a_failure_is_a_status_and_never_a_number(client):
    items = [answered("4"), answered("4", reference={"other": 1}, item_id="bad")]
    scores = client.score(items, model=MODEL)
    assert (scores[1].status, scores[1].reward) == (ScoreStatus.REJECTED, None)
    assert 'has no "answer"' in scores[1].error
    with pytest.raises(NotScored, match=r"item 1 \('bad'\) is rejected: the reference") as raised:
        scores.rewards()
    assert raised.value.score == scores[1]


def test_pictures_and_subscores_travel(client):
    item = make_item("draw", "train", 0)
    prompt = "".join(part.text for part in item.conversation[-1].parts)
    drawn = Answered(prompt, image(png()), json.loads(json.dumps(item.reference)), task="draw")
    [score] = client.score([drawn], model="program/world")
    assert score.status is ScoreStatus.SCORED
    assert score.proto.subscores


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(errors.NotFound, match="nobody"):
        client.score([answered("4")], model="nobody")


async def test_asyncio_code_scores_too(reward_service):
    async with AsyncClient(reward=reward_service.address) as client:
        scores = await client.score([answered("4")], model=MODEL)
        assert scores.rewards() == [1.0]
