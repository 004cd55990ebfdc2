"""`python -m tests.bench.feedback_throughput`: what the feedback service takes in and gives back.

Against a real service process on SQLite with durable commits, over gRPC, with this process as the
client: judgements in batches and one by one, items with a picture each, and a snapshot.
"""

import asyncio
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from protos.v1 import feedback_log_pb2 as pb
from protos.v1.feedback_log_pb2_grpc import FeedbackLogStub
from services.common.client import aio_channel
from tests.unit.feedback.records import item, judgement, picture, png, submit

ITEMS, JUDGEMENTS, BATCH, CLIENTS = 2000, 10_000, 100, 4


def main() -> None:
    """Prints the figures as JSON."""
    with tempfile.TemporaryDirectory() as home:
        options = ["--home", home, "--port", "0", "--metrics-port", "0"]
        process = subprocess.Popen(
            [sys.executable, "-m", "services.feedback", *options], stderr=subprocess.PIPE, text=True
        )
        address = next(
            found[1] for line in process.stderr if (found := re.search(r'"address": "(.+?)"', line))
        )
        figures = asyncio.run(measure(address))
        status = Path(f"/proc/{process.pid}/status").read_text()
        figures["service_peak_mib"] = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024
        process.terminate()
        process.communicate()
        figures["service_cpu_s"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    print(json.dumps({key: round(value, 1) for key, value in figures.items()}, indent=1))


async def measure(address: str) -> dict[str, float]:
    """Rates per second."""
    figures: dict[str, float] = {}
    async with aio_channel(address) as channel:
        stub = FeedbackLogStub(channel)
        figures["items_with_picture_per_s"] = await put_items(stub)
        for clients in (1, CLIENTS):
            figures[f"judgements_per_s_{clients}_clients"] = await judge(stub, clients, BATCH)
        figures["single_judgements_per_s"] = await judge(stub, CLIENTS, 1, JUDGEMENTS // 10)
        start_s = time.monotonic()
        snapshot = await stub.CreateSnapshot(pb.CreateSnapshotRequest(query={"project": "demo"}))
        figures["snapshot_judgements"] = snapshot.num_judgements
        figures["create_snapshot_s"] = time.monotonic() - start_s
        start_s = time.monotonic()
        request = pb.ReadSnapshotRequest(snapshot_id=snapshot.snapshot_id)
        records = [record async for record in stub.ReadSnapshot(request)]
        figures["read_records_per_s"] = len(records) / (time.monotonic() - start_s)
    return figures


async def put_items(stub: FeedbackLogStub) -> float:
    """Items with a picture of their own, in batches."""
    items = [item(f"i{i}", picture(png(i % 256, 32) + i.to_bytes(4))) for i in range(ITEMS)]
    start_s = time.monotonic()
    for start in range(0, ITEMS, BATCH):
        await stub.PutItems(pb.PutItemsRequest(items=items[start : start + BATCH]))
    return ITEMS / (time.monotonic() - start_s)


async def judge(stub: FeedbackLogStub, clients: int, batch: int, count: int = JUDGEMENTS) -> float:
    """Judgements that several clients send at once, each one batch after the other."""
    name = f"{clients}-{batch}"
    judgements = [judgement(f"{name}-{i}", f"i{i % ITEMS}") for i in range(count)]
    batches = iter([judgements[start : start + batch] for start in range(0, count, batch)])

    async def client() -> None:
        for batch_ in batches:
            for receipt in await submit(stub, *batch_):
                if receipt.error:
                    raise RuntimeError(receipt.error)

    start_s = time.monotonic()
    await asyncio.gather(*(client() for _ in range(clients)))
    return count / (time.monotonic() - start_s)


if __name__ == "__main__":
    main()
