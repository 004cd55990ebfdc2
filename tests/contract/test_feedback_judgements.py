"""SubmitJudgements and ListJudgements, over the wire."""

import asyncio
import urllib.request

import grpc
import pytest

from protos.v1 import feedback_log_pb2 as pb
from tests.unit.feedback.records import (
    answer,
    item,
    judgement,
    listed,
    picture,
    png,
    serving,
    submit,
    text,
)


@pytest.fixture
async def served(tmp_path):
    async with serving(tmp_path) as served:
        await served.stub.PutItems(pb.PutItemsRequest(items=[item("i"), item("other")]))
        yield served


@pytest.fixture
def stub(served):
    return served.stub


async def test_a_judgement_is_stored_as_it_was_given(stub):
    given = judgement(
        "k",
        judged_at_s=12.5,
        dwell_ms=900,
        presentation_id="p",
        comment="clear enough",
        pair={
            "first_candidate_id": "a",
            "second_candidate_id": "b",
            "outcome": 4,
            "strength": 3,
            "reasons": ["wrong"],
            "shown_left_candidate_id": "b",
        },
    )
    [receipt] = await submit(stub, given)
    assert receipt.judgement_id
    assert (receipt.repeated, receipt.error) == (False, "")
    [stored] = await listed(stub)
    given.judgement_id = receipt.judgement_id
    assert stored == given


async def test_a_judgement_without_a_time_gets_the_servers(stub):
    await submit(stub, judgement("k"))
    [stored] = await listed(stub)
    assert stored.judged_at_s > 1.7e9


KINDS = {
    "pair": {"pair": {"first_candidate_id": "a", "second_candidate_id": "b", "outcome": 3}},
    "rating": {"rating": {"candidate_id": "a", "value": -1, "scale_min": -2, "scale_max": 2}},
    "region": {
        "region": {
            "candidate_id": "a",
            "region": {"box": {"left": 0, "top": 0.5, "right": 1, "bottom": 0.75}},
            "label": 2,
        }
    },
    "span": {"span": {"candidate_id": "a", "span": {"start": 0, "end": 1}, "label": 5}},
    "edit": {"edit": {"candidate_id": "a", "edited": answer(text("a fox"))}},
    "skip": {"skip": {"reason": "too dark"}},
    "flag": {"flag": {"reason": "unsafe"}},
}


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_of_judgement_is_stored(stub, kind):
    [receipt] = await submit(stub, judgement("k", **KINDS[kind]))
    assert receipt.error == ""
    assert (await listed(stub))[0].WhichOneof("kind") == kind


async def test_a_repeat_gets_the_same_receipt_and_is_not_stored_twice(stub):
    [first] = await submit(stub, judgement("k"))
    [again, within] = await submit(stub, judgement("k"), judgement("k"))
    assert first.judgement_id == again.judgement_id == within.judgement_id
    assert [r.repeated for r in (first, again, within)] == [False, True, True]
    assert len(await listed(stub)) == 1


async def test_a_repeat_within_its_own_batch_is_recognised(stub):
    first, again = await submit(stub, judgement("k"), judgement("k"))
    assert (first.repeated, again.repeated) == (False, True)
    assert first.judgement_id == again.judgement_id
    assert len(await listed(stub)) == 1


async def test_the_same_key_with_another_body_is_refused_and_the_batch_goes_on(stub):
    await submit(stub, judgement("k"))
    refused, stored = await submit(stub, judgement("k", rater_id="r2"), judgement("k2"))
    assert refused.error.startswith("ALREADY_EXISTS: idempotency_key 'k' was used")
    assert refused.judgement_id == ""
    assert stored.error == ""
    assert len(await listed(stub)) == 2


async def test_bad_judgements_are_refused_one_by_one_and_good_ones_land(stub):
    receipts = await submit(
        stub,
        judgement("1"),
        judgement("2", item_id="nobody"),
        judgement("3", rating={"candidate_id": "c", "value": 1, "scale_min": 1, "scale_max": 5}),
        judgement("4", rater_id=""),
        judgement("5"),
    )
    assert [r.error.partition(":")[0] for r in receipts] == [
        "",
        "NOT_FOUND",
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
        "",
    ]
    assert "no item 'nobody'" in receipts[1].error
    assert "'c' is none of item 'i'; it has a, b" in receipts[2].error
    assert [j.idempotency_key for j in await listed(stub)] == ["1", "5"]


async def test_an_edit_keeps_its_picture_as_a_blob_and_gives_it_back(stub, served):
    edited = answer(picture(png(7)))
    [receipt] = await submit(stub, judgement("k", edit={"candidate_id": "a", "edited": edited}))
    [stored] = await listed(stub)
    assert stored.edit.edited.parts[0].media.data == png(7)
    assert receipt.error == ""
    by_hash = answer(picture(png(7)))
    by_hash.parts[0].media.sha256 = "0" * 64
    [refused] = await submit(stub, judgement("k2", edit={"candidate_id": "a", "edited": by_hash}))
    assert refused.error.startswith("NOT_FOUND: the edited answer names media 000")


async def test_judgements_are_listed_by_project_item_and_rater_in_order(stub):
    await stub.PutItems(pb.PutItemsRequest(items=[item("elsewhere", project="p2")]))
    await submit(
        stub,
        judgement("1", "i"),
        judgement("2", "elsewhere"),
        judgement("3", "other", rater_id="r2"),
        judgement("4", "i", rater_id="r2"),
    )

    async def keys(**query) -> str:
        return "".join(j.idempotency_key for j in await listed(stub, page_size=1, **query))

    assert await keys() == "1234"
    assert await keys(project="demo") == "134"
    assert await keys(item_id="i") == "14"
    assert await keys(rater_id="r2") == "34"
    assert await keys(item_id="i", rater_id="r2") == "4"
    assert await keys(project="nobody") == ""


async def test_a_page_token_is_bound_to_its_listing(stub):
    await submit(stub, *(judgement(str(i)) for i in range(3)))
    page = await stub.ListJudgements(pb.ListJudgementsRequest(page_size=2))
    for token, said in [
        (page.next_page_token, "another listing"),
        ("rubbish", "none of ours"),
        ("AAAA", "none of ours"),
        ("W10=", "none of ours"),
    ]:
        request = pb.ListJudgementsRequest(item_id="i", page_token=token)
        with pytest.raises(grpc.aio.AioRpcError, match=said) as failed:
            await stub.ListJudgements(request)
        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_batch_beyond_the_limit_is_refused_whole(tmp_path):
    async with serving(tmp_path, max_batch=2) as small:
        with pytest.raises(grpc.aio.AioRpcError, match="3 judgements in one request; at most 2"):
            await submit(small.stub, *(judgement(str(i)) for i in range(3)))


async def test_concurrent_clients_with_the_same_keys_store_each_once(stub):
    batches = [[judgement(f"{i}") for i in range(start, start + 20)] for start in range(0, 60, 5)]
    answers = await asyncio.gather(*(submit(stub, *batch) for batch in batches))
    stored = [r for receipts in answers for r in receipts if not r.repeated]
    everything = await listed(stub)
    assert len(stored) == len(everything) == 75
    assert {r.judgement_id for r in stored} == {j.judgement_id for j in everything}


async def test_metrics_tell_what_was_stored_repeated_and_refused(stub, served):
    await submit(stub, judgement("1"), judgement("1"), judgement("2", "nobody"), judgement("3"))
    url = f"http://127.0.0.1:{served.running.metrics_port}/metrics"
    metrics = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
    for outcome, count in {"stored": 2.0, "repeated": 1.0, "refused": 1.0}.items():
        labels = f'kind="pair",outcome="{outcome}",rater_kind="person"'
        assert f"attune_feedback_judgements_total{{{labels}}} {count}" in metrics
    assert 'attune_feedback_events_total{type="judgement.submitted"} 2.0' in metrics
    assert 'attune_feedback_db_seconds_count{operation="write"} 2.0' in metrics
    assert 'attune_feedback_pending{lane="write"} 0.0' in metrics
