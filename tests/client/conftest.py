"""Clients of the session's services."""

from collections.abc import Iterator

import pytest

from attune_client import Client
from tests.support.processes import ServiceProcess


@pytest.fixture
def client(
    service_addresses: dict[str, str],
    policy_service: ServiceProcess,
    reward_service: ServiceProcess,
    feedback_service: ServiceProcess,
    trainer_service: ServiceProcess,
) -> Iterator[Client]:
    addresses = {name.removesuffix("_address"): a for name, a in service_addresses.items()}
    with Client(**addresses, deadline_s=60) as client:
        yield client
