"""A service that is down, slow or full: the gateway says so, and goes on."""

from collections.abc import Iterator

import httpx
import openai
import pytest

from tests.support.processes import ServiceProcess, free_port, running

CHAT = {"model": "stable", "messages": [{"role": "user", "content": "hello"}]}
LONG = CHAT | {"n": 16, "max_completion_tokens": 400, "ignore_eos": True}


@pytest.fixture(scope="module")
def lone_gateway(tmp_path_factory) -> Iterator[ServiceProcess]:
    """A gateway whose services are all down."""
    names = ("policy", "reward", "trainer", "feedback")
    addresses = {f"{name}_address": f"127.0.0.1:{free_port()}" for name in names}
    with running("gateway", tmp_path_factory.mktemp("lone"), **addresses) as process:
        yield process


@pytest.mark.parametrize(
    ("method", "path", "body", "service"),
    [
        ("POST", "/v1/chat/completions", CHAT, "policy"),
        ("POST", "/v1/chat/completions", CHAT | {"stream": True}, "policy"),
        ("POST", "/v1/images/generations", {"prompt": "a circle"}, "policy"),
        ("GET", "/v1/models", None, "policy"),
        ("POST", "/v1/feedback", {"completion_id": "x", "value": "up"}, "feedback"),
        ("GET", "/api/runs", None, "trainer"),
        ("GET", "/api/runs/x/events", None, "trainer"),
    ],
)
def test_a_service_that_is_down_is_a_503_that_names_it(lone_gateway, method, path, body, service):
    response = httpx.request(method, lone_gateway.url + path, json=body, timeout=30)
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    error = response.json()["error"]
    assert error["code"] == "service_unavailable"
    assert f"the {service} service" in error["message"]
    assert "127.0.0.1" not in error["message"]


def test_without_a_policy_the_gateway_lives_but_is_not_ready(lone_gateway):
    assert httpx.get(f"{lone_gateway.url}/health/live").status_code == 200
    ready = httpx.get(f"{lone_gateway.url}/health/ready")
    assert ready.status_code == 503
    assert "policy" in ready.json()["not_serving"]
    overview = httpx.get(f"{lone_gateway.url}/api/services")
    assert overview.json()["services"][0]["health"] == "unreachable"
    assert httpx.get(lone_gateway.url).status_code == 200


@pytest.fixture(scope="module")
def frail(base_checkpoint, tmp_path_factory) -> Iterator[tuple[ServiceProcess, dict]]:
    """A gateway, and how to start the policy that it knows: one row, one sample waiting."""
    home = tmp_path_factory.mktemp("frail")
    narrow = {"max_rows": 1, "reserved_rows": 0, "max_waiting_samples": 1}
    policy = {"home": home, "port": free_port(), "base_checkpoint": base_checkpoint} | narrow
    with running("gateway", home, policy_address=f"127.0.0.1:{policy['port']}") as gateway:
        yield gateway, policy


def test_a_full_queue_is_a_rate_limit_and_a_policy_that_dies_ends_its_streams(frail):
    gateway, settings = frail
    url, body = f"{gateway.url}/v1/chat/completions", LONG | {"stream": True, "n": 1}
    with (
        running("policy", **settings) as policy,
        httpx.stream("POST", url, json=body) as running_one,
        httpx.stream("POST", url, json=body) as waiting_one,
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client,
    ):
        assert (running_one.status_code, waiting_one.status_code) == (200, 200)
        with pytest.raises(openai.RateLimitError) as limited:
            client.chat.completions.create(**CHAT)
        policy.kill()
        last = [line for line in waiting_one.iter_lines() if line][-1]
    assert limited.value.response.headers["retry-after"] == "1"
    assert limited.value.code == "rate_limit_exceeded"
    assert '"error"' in last
    assert '"server_error"' in last


def test_a_policy_that_comes_back_is_found_by_a_client_that_tries_again(frail):
    gateway, settings = frail
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none") as client:
        with pytest.raises(openai.InternalServerError) as down:
            client.with_options(max_retries=0).chat.completions.create(**CHAT)
        assert down.value.status_code == 503
        with running("policy", **settings):
            assert client.chat.completions.create(**CHAT).choices
