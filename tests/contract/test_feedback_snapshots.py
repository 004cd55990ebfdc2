"""CreateSnapshot, ListSnapshots and ReadSnapshot, over the wire."""

import asyncio
import sqlite3

import grpc
import pytest

from protos.v1 import feedback_log_pb2 as pb
from protos.v1.judgement_pb2 import RATER_KIND_SIMULATED
from services.common.snapshot_digest import SnapshotDigest
from tests.unit.feedback.records import item, judgement, picture, png, serving, submit


@pytest.fixture
async def served(tmp_path):
    async with serving(tmp_path) as served:
        await served.stub.PutItems(
            pb.PutItemsRequest(
                items=[
                    item("1", picture(png(1))),
                    item("2", split="heldout"),
                    item("3", task="draw"),
                    item("4", project="other"),
                    item("unjudged"),
                ]
            )
        )
        rating = {"candidate_id": "a", "value": 2, "scale_min": 1, "scale_max": 5}
        await submit(
            served.stub,
            judgement("j1", "3"),
            judgement("j2", "1"),
            judgement("j3", "1", rating=rating),
            judgement("j4", "2", rater_kind=RATER_KIND_SIMULATED),
            judgement("j5", "4"),
        )
        yield served


@pytest.fixture
def stub(served):
    return served.stub


async def freeze(stub, request_id: str = "", name: str = "s", **query) -> pb.Snapshot:
    return await stub.CreateSnapshot(
        pb.CreateSnapshotRequest(request_id=request_id, name=name, query=query)
    )


async def read(stub, snapshot: pb.Snapshot) -> list[pb.SnapshotRecord]:
    request = pb.ReadSnapshotRequest(snapshot_id=snapshot.snapshot_id)
    return [record async for record in stub.ReadSnapshot(request)]


def shown(records) -> list[str]:
    """Item and judgement keys of records, for comparing."""
    return [" ".join([r.item.item_id, *(j.idempotency_key for j in r.judgements)]) for r in records]


async def test_a_snapshot_holds_what_its_query_matches_in_order(stub):
    snapshot = await freeze(stub, project="demo")
    records = await read(stub, snapshot)
    assert shown(records) == ["1 j2 j3", "2 j4", "3 j1"]
    assert (snapshot.num_items, snapshot.num_judgements) == (3, 4)
    assert records[0].item.prompt.messages[0].parts[0].media.data == png(1)


async def test_the_sha256_can_be_checked_by_whoever_reads(stub):
    snapshot = await freeze(stub, project="demo")
    digest = SnapshotDigest()
    for record in await read(stub, snapshot):
        digest.add(record)
    assert digest.hexdigest() == snapshot.sha256


async def test_later_events_do_not_change_a_snapshot(stub):
    snapshot = await freeze(stub, project="demo")
    before = await read(stub, snapshot)
    await stub.PutItems(pb.PutItemsRequest(items=[item("5")]))
    await submit(stub, judgement("j6", "5"), judgement("j7", "1"), judgement("j8", "unjudged"))
    assert await read(stub, snapshot) == before
    later = await freeze(stub, project="demo")
    assert shown(await read(stub, later)) == ["1 j2 j3 j7", "2 j4", "3 j1", "unjudged j8", "5 j6"]
    assert later.event_high_water > snapshot.event_high_water


@pytest.mark.parametrize(
    ("query", "records"),
    [
        ({"splits": ["heldout"]}, ["2 j4"]),
        ({"tasks": ["draw", "none"]}, ["3 j1"]),
        ({"rater_kinds": [RATER_KIND_SIMULATED]}, ["2 j4"]),
        ({"judgement_kinds": ["rating", "edit"]}, ["1 j3"]),
        ({"project": "other"}, ["4 j5"]),
        ({"project": "nobody"}, []),
    ],
)
async def test_a_query_selects(stub, query, records):
    assert shown(await read(stub, await freeze(stub, **query))) == records


async def test_a_snapshot_is_read_page_by_page(stub):
    many = [item(f"m{i}", project="many") for i in range(150)]
    await stub.PutItems(pb.PutItemsRequest(items=many))
    await submit(stub, *(judgement(i.item_id, i.item_id) for i in many))
    snapshot = await freeze(stub, project="many")
    assert snapshot.num_items == 150
    assert [r.item.item_id for r in await read(stub, snapshot)] == [i.item_id for i in many]


async def test_a_repeated_request_gives_the_same_snapshot(stub):
    first, again = await asyncio.gather(*(freeze(stub, "r", project="demo") for _ in range(2)))
    await submit(stub, judgement("j9", "1"))
    assert first == again == await freeze(stub, "r", project="demo")
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await freeze(stub, "r", project="other")
    assert failed.value.code() is grpc.StatusCode.ALREADY_EXISTS


async def test_a_repeated_request_is_known_after_a_restart(tmp_path):
    async with serving(tmp_path) as served:
        first = await freeze(served.stub, "r")
    async with serving(tmp_path) as served:
        assert await freeze(served.stub, "r") == first
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await freeze(served.stub, "r", project="other")
    assert failed.value.code() is grpc.StatusCode.ALREADY_EXISTS


async def test_snapshots_are_listed_by_project(stub):
    made = [await freeze(stub, name=name, project=name) for name in ("demo", "other")]
    answer = await stub.ListSnapshots(pb.ListSnapshotsRequest())
    assert list(answer.snapshots) == made
    answer = await stub.ListSnapshots(pb.ListSnapshotsRequest(project="other"))
    assert list(answer.snapshots) == made[1:]


async def test_bad_requests_are_refused(stub):
    with pytest.raises(grpc.aio.AioRpcError, match="'thumbs'; there are pair, rating") as failed:
        await freeze(stub, judgement_kinds=["thumbs"])
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await read(stub, pb.Snapshot(snapshot_id="nobody"))
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND


async def test_records_that_were_tampered_with_are_not_passed_off_as_the_snapshot(served):
    snapshot = await freeze(served.stub, project="demo")
    database = sqlite3.connect(served.config.folder / "feedback.db")
    query = "SELECT seq, payload FROM event WHERE type = 'judgement.submitted'"
    changed = [(p.replace(b"r1", b"r9"), seq) for seq, p in database.execute(query)]
    database.execute("DROP TRIGGER event_refuses_update")
    database.executemany("UPDATE event SET payload = ? WHERE seq = ?", changed)
    database.commit()
    database.close()
    with pytest.raises(grpc.aio.AioRpcError, match="do not match its sha256") as failed:
        await read(served.stub, snapshot)
    assert failed.value.code() is grpc.StatusCode.DATA_LOSS
