"""Clients that leave, that send too much, and a gateway that is told to stop."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.processes import running

CHAT = {"model": "stable", "messages": [{"role": "user", "content": "hello"}]}
LONG = CHAT | {"n": 16, "max_completion_tokens": 450, "ignore_eos": True}
MIB = 1 << 20


def metric(url: str, name: str, **labels: str) -> float:
    families = text_string_to_metric_families(httpx.get(f"{url}/metrics").text)
    samples = [s for family in families for s in family.samples if s.name == name]
    return sum(s.value for s in samples if labels.items() <= s.labels.items())


def until(condition: Callable[[], bool]) -> None:
    """Asks for at most ten seconds."""
    pause = threading.Event()
    for _ in range(200):
        if condition():
            return
        pause.wait(0.05)
    raise AssertionError("it did not come to pass within ten seconds")


@pytest.mark.parametrize("streamed", [True, False])
def test_a_client_that_leaves_cancels_its_samples(small_gateway, policy_service, streamed):
    policy_url = f"http://127.0.0.1:{policy_service.metrics_port}"

    def cancelled() -> float:
        name = "attune_policy_finished_samples_total"
        return metric(policy_url, name, reason="cancelled")

    before = cancelled()
    address = urlsplit(small_gateway.url)
    body = json.dumps(LONG | {"stream": streamed}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {address.netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )

    def leave_early() -> None:
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.sendall(head.encode() + body)
            if streamed:
                assert connection.recv(1000).startswith(b"HTTP/1.1 200")
            else:
                threading.Event().wait(0.03)

    def is_one_cancelled() -> bool:
        leave_early()  # the answer may have been faster than the one who left, so each asks anew
        return cancelled() > before

    until(is_one_cancelled)
    assert httpx.post(f"{small_gateway.url}/v1/chat/completions", json=CHAT).status_code == 200


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
def test_a_body_too_large_is_refused_and_the_client_can_read_why(small_gateway, chunked):
    def chunks() -> Iterator[bytes]:
        for _ in range(40):
            yield bytes(MIB // 10)

    content = chunks() if chunked else bytes(2 * MIB)
    headers = {"Content-Type": "application/json"}
    url = f"{small_gateway.url}/v1/chat/completions"
    response = httpx.post(url, content=content, headers=headers)
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "body_too_large"


def test_an_endless_body_is_cut_off(small_gateway):
    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(MIB // 4)

    url = f"{small_gateway.url}/v1/chat/completions"
    response = httpx.post(url, content=endless(), headers={"Content-Type": "application/json"})
    assert response.status_code == 413
    assert httpx.get(f"{small_gateway.url}/health/live").status_code == 200


def test_without_feedback_all_else_goes_on(small_gateway):
    url = small_gateway.url
    answer = httpx.post(f"{url}/v1/chat/completions", json=CHAT).json()
    feedback = {"completion_id": answer["id"], "value": "up"}
    assert httpx.post(f"{url}/v1/feedback", json=feedback).status_code == 503
    assert httpx.get(f"{url}/health/ready").status_code == 200
    assert httpx.get(f"{url}/v1/models").status_code == 200


def test_on_sigterm_the_answers_that_run_are_finished(policy_service, tmp_path):
    settings = {"policy_address": policy_service.address, "drain_s": 30}
    with running("gateway", tmp_path, **settings) as gateway:
        url = f"{gateway.url}/v1/chat/completions"
        with httpx.stream("POST", url, json=LONG | {"stream": True}) as response:
            lines = response.iter_lines()
            next(lines)
            gateway.process.terminate()
            assert [line for line in lines if line][-1] == "data: [DONE]"
        assert gateway.process.wait(10) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.post(url, json=CHAT)


async def test_while_draining_new_requests_are_turned_away(policy_service, tmp_path):
    from services.gateway.config import GatewayConfig
    from services.gateway.server import running_gateway

    config = GatewayConfig(home=tmp_path, port=0, policy_address=policy_service.address)
    async with running_gateway(config) as running, httpx.AsyncClient(base_url=running.url) as http:
        assert (await http.get("/health/ready")).status_code == 200
        running.gateway.draining.set()
        refused = await http.post("/v1/chat/completions", json=CHAT)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        ready = await http.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "draining")
        assert (await http.get("/health/live")).status_code == 200


def test_a_wrong_setting_is_explained(tmp_path):
    with (
        pytest.raises(RuntimeError, match=r"max_n.*less than or equal to 64"),
        running("gateway", tmp_path, max_n=100),
    ):
        pass
