"""Nothing acknowledged is lost: the service is killed in the middle of its work."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from protos.v1 import feedback_log_pb2 as pb
from protos.v1.feedback_log_pb2_grpc import FeedbackLogStub
from services.common.client import aio_channel
from services.feedback.rebuild import rebuild
from tests.unit.feedback.records import item, judgement, listed, serving, submit

NUM_CLIENTS, BATCHES, PER_BATCH = 4, 25, 10
KILL_AFTER_BATCHES = (15, 45, 75)


class Process:
    """`python -m services.feedback` in a process of its own, on one port for all its lives."""

    def __init__(self, home: Path) -> None:
        self._home, self._port = home, 0

    def start(self) -> str:
        """Starts the service and returns its address once it answers."""
        options = ["--home", str(self._home), "--port", str(self._port), "--metrics-port", "0"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "services.feedback", *options], stderr=subprocess.PIPE
        )
        for line in self._process.stderr:
            event = json.loads(line)
            if event["event"] == "ready":
                self._port = int(event["address"].rpartition(":")[2])
                return event["address"]
        raise AssertionError("the service ended before it was ready")

    def end(self, number: int) -> int:
        """Sends a signal and waits for the end."""
        os.kill(self._process.pid, number)
        self._process.communicate()
        return self._process.returncode


@dataclass
class Acknowledged:
    """What clients were told is stored: judgement ids by idempotency key, at first telling."""

    ids: dict[str, str] = field(default_factory=dict)
    batches: int = 0
    more: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def add(self, keys: list[str], receipts: list[pb.JudgementReceipt]) -> None:
        assert [r.error for r in receipts] == [""] * len(keys)
        async with self.more:
            self.ids |= {k: r.judgement_id for k, r in zip(keys, receipts, strict=True)}
            self.batches += 1
            self.more.notify_all()

    async def reach(self, batches: int) -> None:
        async with self.more:
            await self.more.wait_for(lambda: self.batches >= batches)


async def submit_until_acknowledged(stub, judgements) -> list[pb.JudgementReceipt]:
    request = pb.SubmitJudgementsRequest(judgements=judgements)
    while True:
        try:
            return list((await stub.SubmitJudgements(request, wait_for_ready=True)).receipts)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise


async def client(address: str, name: str, acknowledged: Acknowledged) -> None:
    async with aio_channel(address) as channel:
        stub = FeedbackLogStub(channel)
        for batch in range(BATCHES):
            keys = [f"{name}-{batch}-{i}" for i in range(PER_BATCH)]
            receipts = await submit_until_acknowledged(stub, [judgement(k) for k in keys])
            await acknowledged.add(keys, receipts)


async def test_every_acknowledged_judgement_survives_being_killed_and_is_there_once(tmp_path):
    process, acknowledged = Process(tmp_path), Acknowledged()
    address = process.start()
    async with aio_channel(address) as channel:
        await FeedbackLogStub(channel).PutItems(pb.PutItemsRequest(items=[item()]))
    clients = [
        asyncio.create_task(client(address, f"c{i}", acknowledged)) for i in range(NUM_CLIENTS)
    ]
    for batches in KILL_AFTER_BATCHES:
        await acknowledged.reach(batches)
        assert process.end(signal.SIGKILL) == -signal.SIGKILL
        await asyncio.to_thread(process.start)
    await asyncio.gather(*clients)
    assert await asyncio.to_thread(process.end, signal.SIGTERM) == 0
    async with serving(tmp_path) as served:
        stored = await listed(served.stub, page_size=1000)
        rebuild(served.config)
        assert await listed(served.stub, page_size=1000) == stored
    assert len(stored) == NUM_CLIENTS * BATCHES * PER_BATCH
    assert {j.idempotency_key: j.judgement_id for j in stored} == acknowledged.ids


async def test_two_services_on_one_database_file_lose_and_double_nothing(tmp_path):
    async with serving(tmp_path) as first, serving(tmp_path) as second:
        await first.stub.PutItems(pb.PutItemsRequest(items=[item()]))
        batches = [[judgement(f"{b}-{i}") for i in range(10)] for b in range(12)]
        receipts = await asyncio.gather(
            *(submit(stub, *b) for b in batches for stub in (first.stub, second.stub))
        )
        stored = await listed(first.stub)
        assert await listed(second.stub) == stored
    told = [r for batch in receipts for r in batch]
    assert sum(r.repeated for r in told) == len(stored) == 120
    assert {r.judgement_id for r in told} == {j.judgement_id for j in stored}


def test_a_start_that_cannot_be_is_explained(tmp_path):
    (tmp_path / "feedback").mkdir()
    (tmp_path / "feedback" / "feedback.db").write_bytes(b"this is not a database" * 100)
    options = ["--home", str(tmp_path), "--port", "0", "--metrics-port", "0"]
    ended = subprocess.run(
        [sys.executable, "-m", "services.feedback", *options], stderr=subprocess.PIPE, text=True
    )
    assert ended.returncode == 1
    assert "file is not a database" in ended.stderr.splitlines()[-1]


async def test_a_full_queue_refuses_and_recovers(tmp_path):
    async with serving(tmp_path, max_pending=1) as served:
        await served.stub.PutItems(pb.PutItemsRequest(items=[item()]))
        answers = await asyncio.gather(
            *(submit(served.stub, judgement(str(i))) for i in range(30)), return_exceptions=True
        )
        refused = [a for a in answers if isinstance(a, grpc.aio.AioRpcError)]
        assert refused
        assert {e.code() for e in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        [receipt] = await submit(served.stub, judgement("later"))
        assert receipt.error == ""
        assert len(await listed(served.stub)) == 30 - len(refused) + 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_service_in_order(tmp_path, number):
    process = Process(tmp_path)
    process.start()
    assert process.end(number) == 0
