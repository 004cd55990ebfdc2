"""Clients of the gateway, as applications have them."""

from collections.abc import Iterator

import httpx
import openai
import pytest

from tests.support.processes import ServiceProcess


@pytest.fixture(scope="session")
def openai_client(
    gateway: ServiceProcess, policy_service: ServiceProcess
) -> Iterator[openai.OpenAI]:
    """The official client; it does not try again, so that tests see every error."""
    url = f"{gateway.url}/v1"
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture(scope="session")
def http_client(gateway: ServiceProcess, policy_service: ServiceProcess) -> Iterator[httpx.Client]:
    """For what the official client would not send."""
    with httpx.Client(base_url=gateway.url, timeout=60) as client:
        yield client
