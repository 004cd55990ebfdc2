"""A policy service by itself, as `attune up` would start it, while a context lasts."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from protos.v1.policy_generator_pb2_grpc import PolicyGeneratorStub
from services.cli.bench.command import policy_process
from services.cli.stack.children import StackOptions
from services.cli.stack.connection import require_state, start_and_wait
from services.cli.stack.cores import available_cores, divide_cores
from services.cli.stack.layout import Layout, layout_at
from services.cli.stack.supervisor import Supervisor
from services.cli.terminal import messages
from services.common.client import sync_channel
from services.common.version_store import VersionStore

# Nothing that no alias names is kept, so that each publication loads; answers are not kept for
# training, which nobody does here.
_SETTINGS = {"ATTUNE_POLICY_KEPT_RETIRED": "0", "ATTUNE_POLICY_SPOOL_MAX_FILES": "100"}


@dataclass(frozen=True, slots=True)
class PolicyService:
    """One that runs; `home` holds its store."""

    home: Path
    stub: PolicyGeneratorStub
    process: psutil.Process

    @property
    def store(self) -> VersionStore:
        """As any publisher on this machine sees it."""
        return VersionStore(self.home / "versions")


@contextmanager
def policy_alone(home: Path, port_base: int, base: Path) -> Iterator[PolicyService]:
    """Serves the checkpoint `base` under the alias `stable`."""
    services = tuple(s for s in layout_at(home, port_base).services if s.name == "policy")
    settings = _SETTINGS | {"ATTUNE_POLICY_BASE_CHECKPOINT": str(base)}
    threads = divide_cores(("policy",), available_cores())
    options = StackOptions(threads, (), settings=settings)
    supervisor = Supervisor(
        Layout(home.absolute(), services), options, os.getpid(), messages().print
    )
    try:
        supervisor.start()
        start_and_wait(supervisor)
        state = require_state(home)
        with sync_channel(state.address("policy")) as channel:
            yield PolicyService(home, PolicyGeneratorStub(channel), policy_process(state))
    finally:
        supervisor.stop()
