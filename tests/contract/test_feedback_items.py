"""PutItems, ListItems, LogTrajectories and GetTrajectory, over the wire."""

import hashlib

import grpc
import pytest

from protos.v1 import feedback_log_pb2 as pb
from protos.v1 import trajectory_pb2
from tests.unit.feedback.records import (
    item,
    judgement,
    picture,
    png,
    serving,
    submit,
    text,
    trajectory,
)


@pytest.fixture
async def served(tmp_path):
    async with serving(tmp_path) as served:
        yield served


@pytest.fixture
def stub(served):
    return served.stub


async def put(stub, *items: pb.Item) -> tuple[int, int]:
    """How many were stored and how many were there."""
    answer = await stub.PutItems(pb.PutItemsRequest(items=items))
    return answer.stored, answer.repeated_count


async def all_items(stub, **query) -> list[pb.Item]:
    found, token = [], ""
    while True:
        page = await stub.ListItems(pb.ListItemsRequest(page_token=token, **query))
        found.extend(page.items)
        token = page.next_page_token
        if not token:
            return found


async def log(stub, *trajectories: trajectory_pb2.Trajectory) -> tuple[int, int]:
    answer = await stub.LogTrajectories(pb.LogTrajectoriesRequest(trajectories=trajectories))
    return answer.stored, answer.repeated_count


async def test_an_item_is_listed_as_it_was_put_with_its_pictures_as_bytes(stub, served):
    given = item("i", text("which?"), picture(png(1)), metadata={"source": "test"}, group_key="g")
    given.candidates[0].answer.parts.append(picture(png(2)))
    assert await put(stub, given) == (1, 0)
    [stored] = await all_items(stub)
    given.prompt.messages[0].parts[1].media.mime_type = "image/png"
    given.candidates[0].answer.parts[1].media.mime_type = "image/png"
    assert stored == given
    blobs = served.config.folder / "blobs"
    held = {p.name for p in blobs.glob("??/*")}
    assert held == {hashlib.sha256(png(shade)).hexdigest() for shade in (1, 2)}


async def test_items_are_put_once(stub):
    assert await put(stub, item("i"), item("i"), item("j")) == (2, 1)
    assert await put(stub, item("i"), item("k")) == (1, 1)
    assert [i.item_id for i in await all_items(stub)] == ["i", "j", "k"]


async def test_an_item_that_changes_is_refused_with_its_whole_request(stub):
    await put(stub, item("i"))
    with pytest.raises(grpc.aio.AioRpcError, match="'i' exists with other content") as failed:
        await put(stub, item("new"), item("i", text("something else")))
    assert failed.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert len(await all_items(stub)) == 1


def twice() -> pb.Item:
    doubled = item("i")
    doubled.candidates[1].candidate_id = "a"
    return doubled


def without(field: str) -> pb.Item:
    bare = item("i")
    bare.ClearField(field)
    return bare


BAD_ITEMS = {
    "no id": (item(""), "item_id is empty"),
    "long id": (item("x" * 300), "at most 256 printable"),
    "control characters": (item("a\nb"), "at most 256 printable"),
    "no project": (item("i", project=""), "project of item 'i' is empty"),
    "no prompt": (without("prompt"), "has no prompt"),
    "no candidates": (without("candidates"), "has no candidates"),
    "a candidate twice": (twice(), "names a candidate twice"),
    "empty picture": (item("i", picture(b"")), "a media item of 0 bytes"),
}


@pytest.mark.parametrize(("bad", "said"), BAD_ITEMS.values(), ids=BAD_ITEMS)
async def test_an_item_that_could_not_be_judged_is_refused(stub, bad, said):
    with pytest.raises(grpc.aio.AioRpcError, match=said) as failed:
        await put(stub, bad)
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await all_items(stub) == []


async def test_media_named_by_hash_must_be_held(stub):
    named = item("i", picture(b"-"))
    media = named.prompt.messages[0].parts[0].media
    media.sha256 = hashlib.sha256(png(1)).hexdigest()
    with pytest.raises(grpc.aio.AioRpcError, match="are not stored; put them first") as failed:
        await put(stub, named)
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND
    await put(stub, item("with bytes", picture(png(1))), named)
    assert (await all_items(stub))[1].prompt.messages[0].parts[0].media.data == png(1)
    media.sha256 = "../../etc/passwd"
    with pytest.raises(grpc.aio.AioRpcError, match="64 lower-case hexadecimal"):
        await put(stub, named)


async def test_a_picture_beyond_the_limit_is_refused(tmp_path):
    async with serving(tmp_path, max_media_mib=1) as small:
        with pytest.raises(grpc.aio.AioRpcError, match="allowed are 1 to 1048576"):
            await put(small.stub, item("i", picture(bytes(2 << 20))))


async def test_a_group_never_straddles_a_split(stub):
    await put(stub, item("1", group_key="scene"), item("2", group_key="scene"))
    with pytest.raises(grpc.aio.AioRpcError, match="never straddles a split") as failed:
        await put(stub, item("3", group_key="scene", split="heldout"))
    assert failed.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    other_project = item("4", group_key="scene", split="heldout", project="other")
    assert await put(stub, other_project) == (1, 0)
    with pytest.raises(grpc.aio.AioRpcError, match="never straddles"):
        await put(stub, item("5", group_key="new"), item("6", group_key="new", split="heldout"))


async def test_items_are_listed_by_project_and_split_over_pages(stub):
    await put(stub, item("1"), item("2", split="heldout"), item("3", project="other"), item("4"))

    async def ids(**query) -> str:
        return "".join(i.item_id for i in await all_items(stub, page_size=1, **query))

    assert await ids() == "1234"
    assert await ids(project="demo") == "124"
    assert await ids(project="demo", split="train") == "14"
    assert await ids(split="heldout") == "2"


async def test_a_page_ends_where_its_pictures_would_outgrow_a_message(tmp_path):
    large = [item(str(i), picture(bytes([i]) * 400_000)) for i in range(5)]
    async with serving(tmp_path, max_inline_mib=1) as small:
        await put(small.stub, *large)
        first = await small.stub.ListItems(pb.ListItemsRequest())
        assert len(first.items) == 2
        assert first.next_page_token
        everything = await all_items(small.stub)
    assert [i.prompt.messages[0].parts[0].media.data for i in everything] == [
        i.prompt.messages[0].parts[0].media.data for i in large
    ]


async def test_what_no_message_can_carry_stays_a_hash(tmp_path):
    pictures = [picture(bytes([i]) * 700_000) for i in range(2)]
    async with serving(tmp_path, max_inline_mib=1) as small:
        await put(small.stub, item("i", *pictures))
        [stored] = await all_items(small.stub)
    sources = [part.media.WhichOneof("source") for part in stored.prompt.messages[0].parts]
    assert sources == ["data", "sha256"]


async def test_a_trajectory_is_kept_whole_and_becomes_an_item(stub):
    given = trajectory("t")
    assert await log(stub, given) == (1, 0)
    stored = await stub.GetTrajectory(pb.GetTrajectoryRequest(trajectory_id="t"))
    for sample in given.group.samples:
        sample.parts[1].media.mime_type = "image/png"
    given.prompt.messages[0].parts[1].media.mime_type = "image/png"
    assert stored == given
    [made] = await all_items(stub, project="application")
    assert made.item_id == "t"
    assert [c.candidate_id for c in made.candidates] == ["t/0", "t/1"]
    assert made.candidates[1].answer.parts[1].media.data == png(1)
    assert made.prompt == stored.prompt


async def test_a_trajectory_can_be_judged(stub):
    await log(stub, trajectory("t"))
    pair = {"first_candidate_id": "t/0", "second_candidate_id": "t/1", "outcome": 2}
    [receipt] = await submit(stub, judgement("k", "t", pair=pair))
    assert receipt.error == ""


async def test_failed_samples_are_no_candidates(stub):
    given = trajectory("t", samples=3)
    given.group.samples[1].finish_reason = trajectory_pb2.FINISH_REASON_FAILED
    await log(stub, given)
    [made] = await all_items(stub)
    assert [c.candidate_id for c in made.candidates] == ["t/0", "t/2"]


async def test_a_repeated_trajectory_is_not_stored_twice(stub):
    assert await log(stub, trajectory("t"), trajectory("t"), trajectory("u")) == (2, 1)
    assert await log(stub, trajectory("u")) == (0, 1)
    assert len(await all_items(stub)) == 2


async def test_refused_trajectories_are_named_and_the_others_are_stored(stub):
    await log(stub, trajectory("t"))
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await log(stub, trajectory("t", tenant="other"), trajectory("new"))
    assert failed.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert "1 trajectories were refused, the other 1 are stored" in failed.value.details()
    assert await log(stub, trajectory("new")) == (0, 1)
    for bad in (trajectory(""), trajectory("empty", samples=0)):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await log(stub, bad)
        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_trajectory_cannot_take_the_place_of_an_item_nor_an_item_of_a_trajectory(stub):
    await put(stub, item("i"))
    await log(stub, trajectory("t"))
    for attempt in (log(stub, trajectory("i")), put(stub, item("t"))):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await attempt
        assert failed.value.code() is grpc.StatusCode.ALREADY_EXISTS


async def test_media_that_a_trajectory_only_names_stay_a_hash(stub):
    given = trajectory("t")
    given.prompt.messages[0].parts[1].media.sha256 = "0" * 64
    await log(stub, given)
    stored = await stub.GetTrajectory(pb.GetTrajectoryRequest(trajectory_id="t"))
    assert stored.prompt.messages[0].parts[1].media.sha256 == "0" * 64
    assert stored.group.samples[0].parts[1].media.data == png(0)


async def test_an_unknown_trajectory_is_not_found(stub):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.GetTrajectory(pb.GetTrajectoryRequest(trajectory_id="nobody"))
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND
