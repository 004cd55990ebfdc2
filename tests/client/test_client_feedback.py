"""Judgements, items and snapshots through the real feedback service."""

import pytest

from attune_client import AsyncClient, Box, Item, Rater, errors, image
from tests.support.pictures import png

RATER = Rater("r1")


@pytest.fixture(scope="module")
def items() -> list[Item]:
    both = {"a": "a cat", "b": [image(png()), "a dog"]}
    return [Item(f"client-{i}", "what is it?", both, project="client") for i in range(3)]


@pytest.fixture
def item_id(client, items) -> str:
    client.feedback.put_items(items)
    return items[0].item_id


def test_items_are_stored_once(client, items):
    client.feedback.put_items(items)
    assert client.feedback.put_items(items) == 0


def test_each_kind_of_judgement_is_stored_as_it_was_given(client, item_id):
    judge = client.feedback
    given = {
        judge.judge_pair(item_id, "a", "b", "second", by=RATER, strength=2): "pair",
        judge.rate(item_id, "a", 4, by=RATER, comment="fine"): "rating",
        judge.edit(item_id, "a", "a fox", by=RATER): "edit",
        judge.mark_region(item_id, "b", Box(0, 0, 0.5, 1), "artifact", by=RATER): "region",
        judge.mark_span(item_id, "a", 2, 5, "wrong", by=RATER): "span",
        judge.flag(item_id, "unsafe", by=RATER): "flag",
        judge.skip(item_id, "too dark", by=RATER): "skip",
    }
    stored = {j.judgement_id: j for j in judge.judgements(item_id=item_id)}
    assert {key: stored[key].WhichOneof("kind") for key in given} == given
    kinds = {stored[key].WhichOneof("kind"): stored[key] for key in given}
    assert (kinds["pair"].pair.outcome, kinds["pair"].pair.strength) == (2, 2)
    assert (kinds["rating"].rating.scale_min, kinds["rating"].rating.scale_max) == (1, 5)
    assert kinds["rating"].comment == "fine"
    assert kinds["edit"].edit.edited.parts[0].text == "a fox"
    assert kinds["region"].region.region.box.right == 0.5
    assert (kinds["span"].span.span.start, kinds["span"].span.label) == (2, 5)


def test_a_completion_can_be_judged_at_once_by_its_ids(client):
    answer = client.generate("hi", n=2, max_tokens=4)
    user = Rater("user-17", kind="application")
    first, second = answer.samples
    client.feedback.rate(answer.completion_id, first.sample_id, 1, by=user, scale=(0, 1))
    client.feedback.judge_pair(
        answer.completion_id, first.sample_id, second.sample_id, "tie", by=user
    )
    assert len(list(client.feedback.judgements(item_id=answer.completion_id))) == 2
    recorded = client.feedback.trajectory(answer.completion_id)
    assert list(recorded.group.samples[0].token_ids) == list(first.token_ids)


def test_what_the_log_refuses_is_raised(client, item_id, monkeypatch):
    with pytest.raises(errors.InvalidArgument, match="'c' is none of item"):
        client.feedback.rate(item_id, "c", 1, by=RATER)
    with pytest.raises(errors.InvalidArgument, match="outcome is 'left'; it must be one of first"):
        client.feedback.judge_pair(item_id, "a", "b", "left", by=RATER)  # type: ignore[arg-type]
    monkeypatch.setattr("attune_client.records.RECORDED_WITHIN_S", 0.0)
    with pytest.raises(errors.NotFound, match="no item 'nobody'"):
        client.feedback.rate("nobody", "a", 1, by=RATER)


def test_a_snapshot_reads_the_same_again(client, item_id):
    client.feedback.rate(item_id, "a", 5, by=RATER)
    snapshot = client.feedback.create_snapshot("mine", project="client", kinds=["rating"])
    records = list(client.feedback.read_snapshot(snapshot.snapshot_id))
    assert len(records) == snapshot.num_items
    assert sum(len(record.judgements) for record in records) == snapshot.num_judgements
    client.feedback.rate(item_id, "a", 1, by=RATER)
    assert list(client.feedback.read_snapshot(snapshot.snapshot_id)) == records


async def test_asyncio_code_judges_too(feedback_service, items):
    async with AsyncClient(feedback=feedback_service.address) as client:
        await client.feedback.put_items(items)
        item_id = items[1].item_id
        given = await client.feedback.judge_pair(item_id, "a", "b", "tie", by=RATER)
        assert given in [j.judgement_id async for j in client.feedback.judgements(item_id=item_id)]
        snapshot = await client.feedback.create_snapshot("async", project="client")
        records = [r async for r in client.feedback.read_snapshot(snapshot.snapshot_id)]
        assert given in [j.judgement_id for record in records for j in record.judgements]
        with pytest.raises(errors.NotFound):
            await client.feedback.trajectory("nobody")
