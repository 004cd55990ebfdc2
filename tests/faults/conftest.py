"""A gateway of limits that tests can reach, over a policy but no other service."""

from collections.abc import Iterator

import pytest

from tests.support.processes import ServiceProcess, free_port, running


@pytest.fixture(scope="module")
def small_gateway(
    policy_service: ServiceProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    settings = {
        "policy_address": policy_service.address,
        "feedback_address": f"127.0.0.1:{free_port()}",
        "max_body_mib": 1,
    }
    with running("gateway", tmp_path_factory.mktemp("small"), **settings) as process:
        yield process
