"""The plumbing of every service, with a real server and client: errors, metrics, health, drain."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.common.client import aio_channel, sync_channel
from services.common.config import ServiceConfig
from services.common.errors import NotFound, ResourceExhausted, Unavailable, from_rpc
from services.common.server import Registration, running_service

NAME = "attune.test.Echo"
KINDS = ("UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream")


class Echo:
    """Answers the four kinds of RPC with what it got; what a request says decides the failure."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.may_finish = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.failures_left = 0

    async def unary_unary(self, request: bytes, context) -> bytes:
        return await self._answer(request, context)

    async def unary_stream(self, request: bytes, context) -> AsyncIterator[bytes]:
        yield b"first"
        yield await self._answer(request, context)

    async def stream_unary(self, requests: AsyncIterator[bytes], context) -> bytes:
        return await self._answer(b"".join([r async for r in requests]), context)

    async def stream_stream(self, requests: AsyncIterator[bytes], context) -> AsyncIterator[bytes]:
        async for request in requests:
            yield await self._answer(request, context)

    async def _answer(self, request: bytes, context) -> bytes:
        match request:
            case b"not found":
                raise NotFound("no such thing")
            case b"value":
                raise ValueError("n is 0")
            case b"bug":
                raise KeyError("/home/secret")
            case b"long":
                raise ResourceExhausted("队" * 9000)
            case b"abort":
                await context.abort(grpc.StatusCode.ABORTED, "by hand")
            case b"time left":
                return str(context.time_remaining()).encode()
            case b"flaky" if self.failures_left:
                self.failures_left -= 1
                raise Unavailable("starting")
            case b"wait":
                await self._wait()
        return request

    async def _wait(self) -> None:
        self.entered.set()
        try:
            await self.may_finish.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    def add_to(self, server: grpc.aio.Server) -> None:
        handlers = {
            "UnaryUnary": grpc.unary_unary_rpc_method_handler(self.unary_unary),
            "UnaryStream": grpc.unary_stream_rpc_method_handler(self.unary_stream),
            "StreamUnary": grpc.stream_unary_rpc_method_handler(self.stream_unary),
            "StreamStream": grpc.stream_stream_rpc_method_handler(self.stream_stream),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, handlers),))


@pytest.fixture
async def echo() -> Echo:
    return Echo()


@pytest.fixture
async def running(echo, tmp_path):
    async with serving(echo, home=tmp_path) as running:
        yield running


@pytest.fixture
async def channel(running):
    async with aio_channel(running.address) as channel:
        yield channel


def serving(echo: Echo, **settings):
    """The echo service under the common plumbing."""

    @asynccontextmanager
    async def open_servicers(registry):
        yield [Registration(NAME, echo.add_to)]

    return running_service(ServiceConfig(**settings), open_servicers)


async def call(channel, kind: str, request: bytes) -> list[bytes]:
    """The answers to one request, by any kind of RPC."""
    method = f"/{NAME}/{kind}"
    match kind:
        case "UnaryUnary":
            return [await channel.unary_unary(method)(request)]
        case "UnaryStream":
            return [r async for r in channel.unary_stream(method)(request)][1:]
        case "StreamUnary":
            return [await channel.stream_unary(method)(iter([request]))]
        case _:
            return [r async for r in channel.stream_stream(method)(iter([request]))]


def scrape(running) -> str:
    """The text of /metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{running.metrics_port}/metrics") as response:
        return response.read().decode()


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_of_rpc_answers(channel, kind):
    assert await call(channel, kind, b"hello") == [b"hello"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("request_", "code", "details"),
    [
        (b"not found", grpc.StatusCode.NOT_FOUND, "no such thing"),
        (b"value", grpc.StatusCode.INVALID_ARGUMENT, "n is 0"),
        (b"abort", grpc.StatusCode.ABORTED, "by hand"),
    ],
)
async def test_errors_of_each_kind_of_rpc_arrive_as_their_status(
    channel, kind, request_, code, details
):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call(channel, kind, request_)
    assert (failed.value.code(), failed.value.details()) == (code, details)


async def test_a_bug_is_internal_logged_and_its_words_stay_inside(channel, capsys):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call(channel, "UnaryUnary", b"bug")
    assert failed.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in failed.value.details()
    assert "/home/secret" in capsys.readouterr().out
    assert await call(channel, "UnaryUnary", b"still there") == [b"still there"]


async def test_a_long_message_is_cut_to_what_a_status_can_carry(channel):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call(channel, "UnaryUnary", b"long")
    error = from_rpc(failed.value)
    assert isinstance(error, ResourceExhausted)
    assert re.fullmatch("队{600,700} …", str(error))


async def test_an_unknown_method_is_unimplemented(channel):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await channel.unary_unary(f"/{NAME}/Nonsense")(b"")
    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_metrics_count_and_time_rpcs_by_method_and_status(running, channel, echo):
    await call(channel, "UnaryStream", b"hello")
    for request in (b"not found", b"abort", b"bug"):
        with pytest.raises(grpc.aio.AioRpcError):
            await call(channel, "UnaryUnary", request)
    waiting = asyncio.create_task(call(channel, "UnaryUnary", b"wait"))
    await echo.entered.wait()
    text = await asyncio.to_thread(scrape, running)
    echo.may_finish.set()
    await waiting
    for code in ("NOT_FOUND", "ABORTED", "INTERNAL"):
        line = f'attune_rpc_requests_total{{code="{code}",method="{NAME}/UnaryUnary"}} 1.0'
        assert line in text
    assert f'attune_rpc_requests_total{{code="OK",method="{NAME}/UnaryStream"}} 1.0' in text
    assert f'attune_rpc_duration_seconds_count{{method="{NAME}/UnaryUnary"}} 3.0' in text
    assert f'attune_rpc_in_flight{{method="{NAME}/UnaryUnary"}} 1.0' in text
    assert "process_resident_memory_bytes" in text


async def test_a_client_that_cancels_cancels_the_handler_and_is_counted(running, channel, echo):
    rpc = channel.unary_unary(f"/{NAME}/UnaryUnary")(b"wait")
    await echo.entered.wait()
    rpc.cancel()
    await echo.cancelled.wait()
    assert 'code="CANCELLED"' in await asyncio.to_thread(scrape, running)


async def test_health_answers_check_and_watch(running, channel):
    stub = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service=NAME)
    assert (await stub.Check(request)).status == health_pb2.HealthCheckResponse.SERVING
    watch = stub.Watch(request)
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    await running.set_serving(False)
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND
    watch.cancel()


async def test_a_container_asks_whether_its_service_serves(running):
    assert await asyncio.to_thread(asked, running.address) == (0, "serving")
    await running.set_serving(False)
    assert await asyncio.to_thread(asked, running.address) == (1, "not serving")
    assert await asyncio.to_thread(asked, "127.0.0.1:1", "--http") == (1, "no answer")


def asked(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "services.common.readiness", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stdout.strip()


async def test_reflection_lists_the_services_unless_it_is_off(channel, echo, tmp_path):
    assert {NAME, "grpc.health.v1.Health"} <= await reflected(channel)
    async with (
        serving(echo, home=tmp_path, reflection=False) as quiet,
        aio_channel(quiet.address) as other,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await reflected(other)
    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def reflected(channel) -> set[str]:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    answers = [answer async for answer in stub.ServerReflectionInfo(requests)]
    return {service.name for a in answers for service in a.list_services_response.service}


async def test_a_call_without_a_timeout_gets_the_default_deadline(channel):
    [left] = await call(channel, "UnaryUnary", b"time left")
    assert 590 < float(left) < 610  # the header rounds up


async def test_a_shorter_timeout_of_a_call_wins(channel, echo):
    left = await channel.unary_unary(f"/{NAME}/UnaryUnary")(b"time left", timeout=5)
    assert 0 < float(left) <= 5 * 1.01  # gRPC rounds the header up, by 1 % at most
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await channel.unary_unary(f"/{NAME}/UnaryUnary")(b"wait", timeout=0.05)
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await echo.cancelled.wait()


@pytest.mark.parametrize("kind", KINDS)
async def test_calls_are_repeated_while_a_server_is_unavailable(channel, echo, kind):
    echo.failures_left = 2
    if kind == "UnaryStream":  # a stream that has begun is not repeated by gRPC
        with pytest.raises(grpc.aio.AioRpcError):
            await call(channel, kind, b"flaky")
    else:
        assert await call(channel, kind, b"flaky") == [b"flaky"]


async def test_a_channel_finds_a_restarted_server_again(echo, tmp_path):
    first = serving(echo, home=tmp_path)
    address = (await first.__aenter__()).address
    async with aio_channel(address) as channel:
        assert await call(channel, "UnaryUnary", b"hello") == [b"hello"]
        await first.__aexit__(None, None, None)
        early = asyncio.create_task(call(channel, "UnaryUnary", b"hello again"))
        async with serving(echo, home=tmp_path, port=int(address.rpartition(":")[2])):
            assert await early == [b"hello again"]


async def test_a_message_beyond_the_limit_is_refused(echo, tmp_path):
    async with (
        serving(echo, home=tmp_path, max_message_mib=1) as small,
        aio_channel(small.address) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call(channel, "UnaryUnary", bytes(2 << 20))
    assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_blocking_clients_are_served_too(running):
    def ask() -> bytes:
        with sync_channel(running.address) as channel:
            return channel.unary_unary(f"/{NAME}/UnaryUnary")(b"hello")

    assert await asyncio.to_thread(ask) == b"hello"


async def test_a_drain_finishes_what_runs_and_refuses_what_is_new(echo, tmp_path):
    service = serving(echo, home=tmp_path, drain_s=30)
    running = await service.__aenter__()
    async with aio_channel(running.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(service=NAME)
        )
        await watch.read()
        answer = asyncio.create_task(call(channel, "UnaryUnary", b"wait"))
        await echo.entered.wait()
        drain = asyncio.create_task(service.__aexit__(None, None, None))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        async with aio_channel(running.address) as other:
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await call(other, "UnaryUnary", b"hello")
        assert isinstance(from_rpc(failed.value), Unavailable)
        echo.may_finish.set()
        assert await answer == [b"wait"]
        # The open health watch must not hold the drain back for its 30 seconds.
        await asyncio.wait_for(drain, timeout=5)


async def test_a_drain_ends_what_does_not_finish_in_time(echo, tmp_path):
    async with serving(echo, home=tmp_path, drain_s=0.05) as running:
        channel_context = aio_channel(running.address)
        channel = await channel_context.__aenter__()
        answer = asyncio.create_task(call(channel, "UnaryUnary", b"wait"))
        await echo.entered.wait()
    with pytest.raises(grpc.aio.AioRpcError):
        await answer
    await channel_context.__aexit__(None, None, None)
    assert echo.cancelled.is_set()


async def test_a_port_that_is_taken_is_named(running, echo, tmp_path):
    port = int(running.address.rpartition(":")[2])
    with pytest.raises(Unavailable, match=f"127.0.0.1:{port}"):
        async with serving(echo, home=tmp_path, port=port):
            pass


PROGRAM = """
from contextlib import asynccontextmanager
from services.common.config import ServiceConfig
from services.common.server import run_service

@asynccontextmanager
async def open_servicers(registry):
    yield []

run_service("echo", ServiceConfig(log_format="{log_format}"), open_servicers)
"""


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_process_in_order(log_format, number):
    program = PROGRAM.format(log_format=log_format)
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "."},
    ) as process:  # fmt: skip
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "ready" in line:
                process.send_signal(number)
    assert process.returncode == 0
    log = "".join(lines)
    events = [re.search("starting|ready|draining|stopped|$", line)[0] for line in lines]
    assert [e for e in events if e] == ["starting", "ready", "draining", "stopped"], log
