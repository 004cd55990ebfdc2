"""The policy service as a process: SIGTERM lets requests finish, and a start takes up its state."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from protos.v1 import policy_generator_pb2_grpc
from services.common.client import aio_channel
from tests.contract.policy_service import collect, generate_request, save


@asynccontextmanager
async def policy_process(home: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """`python -m services.policy`, and the address that its log gives."""
    settings = {"HOME": home, "PORT": 0, "METRICS_PORT": 0, "BASE_CHECKPOINT": home / "base"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.policy",
        "--threads=1",
        env=os.environ | {f"ATTUNE_POLICY_{k}": str(v) for k, v in settings.items()},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process, await _address(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_sigterm_lets_requests_in_flight_finish(tmp_path) -> None:
    save(tmp_path / "base")
    request = generate_request(
        max_tokens=240, ignore_eos=True, n=64, stream_deltas=True, request_id="mine"
    )
    async with policy_process(tmp_path) as (process, address):
        async with aio_channel(address) as channel:
            stub = policy_generator_pb2_grpc.PolicyGeneratorStub(channel)
            responses = aiter(stub.Generate(request))
            started = await anext(responses)
            process.send_signal(signal.SIGTERM)
            answer = await collect(responses)
        assert await asyncio.wait_for(process.wait(), timeout=20) == 0
    assert started.HasField("started")
    assert len(answer.samples) == 64
    assert all(len(sample.token_ids) == 240 for sample in answer.samples)
    assert answer.done.timing.completion_tokens == 64 * 240
    assert len(list((tmp_path / "spool").glob("*mine*"))) == 1


async def test_a_restart_takes_up_its_aliases(tmp_path) -> None:
    save(tmp_path / "base")
    answers = []
    for _ in range(2):
        async with policy_process(tmp_path) as (_, address), aio_channel(address) as channel:
            stub = policy_generator_pb2_grpc.PolicyGeneratorStub(channel)
            answers.append(await collect(stub.Generate(generate_request())))
    first, second = answers
    assert first.ids == second.ids
    assert first.started.policy_version == second.started.policy_version


async def _address(process: asyncio.subprocess.Process) -> str:
    async with asyncio.timeout(30):
        async for line in process.stderr:
            entry = json.loads(line)
            if entry["event"] == "ready":
                return entry["address"]
    raise AssertionError("the service ended before it was ready")
