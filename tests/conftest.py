"""Real services for tests that need them, started when first asked for and kept for the session.

`gateway` alone starts only the gateway, told where the others will be; ask for `policy_service`,
`trainer_service` … as well where the test needs them to be up. All share one home and a tiny random
model (tests/support). For a service of one's own, with other settings or to be killed, take
`running(name, home, …)` of tests/support/processes.py.
"""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import ServiceProcess, free_port, running


def pytest_configure() -> None:
    """Takes Ctrl-C even where pytest was started in the background of a shell, which ignores it:
    processes that tests start and interrupt would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def attune_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds the state of the shared services."""
    return tmp_path_factory.mktemp("attune")


@pytest.fixture(scope="session")
def base_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model, which the policy service puts into its store as `stable` and `base`."""
    from tests.support.tiny_model import save_tiny_model

    return save_tiny_model(tmp_path_factory.mktemp("checkpoint") / "tiny")


@pytest.fixture(scope="session")
def service_ports() -> dict[str, int]:
    """Where each service of the session listens."""
    return {name: free_port() for name in ("policy", "reward", "trainer", "feedback")}


@pytest.fixture(scope="session")
def service_addresses(service_ports: dict[str, int]) -> dict[str, str]:
    """`policy_address` … as the services' configurations name them."""
    return {f"{name}_address": f"127.0.0.1:{port}" for name, port in service_ports.items()}


@pytest.fixture(scope="session")
def feedback_service(attune_home: Path, service_ports: dict[str, int]) -> Iterator[ServiceProcess]:
    with running("feedback", attune_home, service_ports["feedback"]) as process:
        yield process


@pytest.fixture(scope="session")
def policy_service(
    attune_home: Path,
    base_checkpoint: Path,
    service_ports: dict[str, int],
    service_addresses: dict[str, str],
) -> Iterator[ServiceProcess]:
    settings = {
        "base_checkpoint": base_checkpoint,
        "feedback_address": service_addresses["feedback_address"],
    }
    with running("policy", attune_home, service_ports["policy"], **settings) as process:
        yield process


@pytest.fixture(scope="session")
def reward_service(attune_home: Path, service_ports: dict[str, int]) -> Iterator[ServiceProcess]:
    with running("reward", attune_home, service_ports["reward"]) as process:
        yield process


@pytest.fixture(scope="session")
def trainer_service(
    attune_home: Path,
    service_ports: dict[str, int],
    service_addresses: dict[str, str],
    policy_service: ServiceProcess,
    reward_service: ServiceProcess,
    feedback_service: ServiceProcess,
) -> Iterator[ServiceProcess]:
    own = {k: v for k, v in service_addresses.items() if k != "trainer_address"}
    with running("trainer", attune_home, service_ports["trainer"], **own) as process:
        yield process


@pytest.fixture(scope="session")
def gateway(attune_home: Path, service_addresses: dict[str, str]) -> Iterator[ServiceProcess]:
    with running("gateway", attune_home, **service_addresses) as process:
        yield process
