"""How commands reach the services: those that are up, or a set of its own while a command runs."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import grpc

from protos.v1.feedback_log_pb2_grpc import FeedbackLogStub
from protos.v1.policy_generator_pb2_grpc import PolicyGeneratorStub
from protos.v1.reward_model_pb2_grpc import RewardModelStub
from protos.v1.training_orchestrator_pb2_grpc import TrainingOrchestratorStub
from services.cli.errors import UserError
from services.cli.stack.children import StackOptions
from services.cli.stack.cores import available_cores, divide_cores
from services.cli.stack.layout import DEFAULT_PORT_BASE, Layout, layout_at
from services.cli.stack.state import UpState, read_state
from services.cli.stack.supervisor import Supervisor
from services.cli.terminal import messages
from services.common.client import sync_channel

READY_DEADLINE_S = 120.0


@dataclass(frozen=True, slots=True)
class Services:
    """Stubs of the services that are up."""

    state: UpState
    policy: PolicyGeneratorStub
    reward: RewardModelStub
    trainer: TrainingOrchestratorStub
    feedback: FeedbackLogStub
    ready_s: float | None  # what their start took; None where they were up already

    @property
    def gateway_url(self) -> str:
        """Where the web page and the HTTP interface are."""
        return f"http://{self.state.address('gateway')}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where services are looked for, or started."""

    home: Path
    port_base: int = DEFAULT_PORT_BASE
    scorer_roots: tuple[Path, ...] = ()


def require_state(home: Path) -> UpState:
    """What is up under a home folder. Raises UserError where nothing is."""
    state = read_state(home.absolute())
    if state is None:
        raise UserError(
            f"no services are up for home {home}", "`attune up` starts them (`--home` names a home)"
        )
    return state


@contextmanager
def connected(place: Place) -> Iterator[Services]:
    """The services that are up, or else a set that is stopped at the end of the context."""
    with ExitStack() as stack:
        state = read_state(place.home.absolute())
        ready_s = None
        if state is None:
            ready_s = stack.enter_context(_own_services(place))
            state = require_state(place.home)
        yield _stubs(state, stack, ready_s)


def supervisor_of(layout: Layout, scorer_roots: tuple[Path, ...]) -> Supervisor:
    """A supervisor in this process, reporting on standard error."""
    threads = divide_cores(tuple(s.name for s in layout.services), available_cores())
    roots = tuple(root.absolute() for root in scorer_roots or (Path.cwd(),))
    return Supervisor(layout, StackOptions(threads, roots), os.getpid(), _report)


def start_and_wait(supervisor: Supervisor, deadline_s: float = READY_DEADLINE_S) -> float:
    """Shows which services are awaited; the seconds until all served."""
    names = [s.name for s in supervisor.layout.services]
    with messages().status("starting services") as status:

        def show(ready_s: dict[str, float]) -> None:
            late = [name for name in names if name not in ready_s]
            status.update(f"starting services; waiting for {', '.join(late) or 'none'}")

        ready_s = supervisor.wait_until_ready(deadline_s, show)
    slowest = max(ready_s, key=lambda name: ready_s[name])
    total_s = ready_s[slowest]
    messages().print(f"[green]ready[/] in {total_s:.1f} s [dim](last was {slowest})[/]")
    return total_s


@contextmanager
def _own_services(place: Place) -> Iterator[float]:
    """Starts the services, watched over by a thread of this process; yields how long it took."""
    supervisor = supervisor_of(layout_at(place.home, place.port_base), place.scorer_roots)
    stop = Event()
    watcher = Thread(target=supervisor.watch, args=(stop,), daemon=True)
    try:
        supervisor.start()
        ready_s = start_and_wait(supervisor)
        watcher.start()
        yield ready_s
    finally:
        stop.set()
        if watcher.is_alive():
            watcher.join()
        supervisor.stop()


def _report(text: str) -> None:
    messages().print(text, markup=False)


def _stubs(state: UpState, stack: ExitStack, ready_s: float | None) -> Services:
    def channel(name: str) -> grpc.Channel:
        return stack.enter_context(sync_channel(state.address(name)))

    return Services(
        state=state,
        policy=PolicyGeneratorStub(channel("policy")),
        reward=RewardModelStub(channel("reward")),
        trainer=TrainingOrchestratorStub(channel("trainer")),
        feedback=FeedbackLogStub(channel("feedback")),
        ready_s=ready_s,
    )
