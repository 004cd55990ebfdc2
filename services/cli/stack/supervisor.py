"""Starts the services, waits until they serve, restarts one that dies, stops all gracefully."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event

from services.cli.errors import UserError
from services.cli.stack.children import Child, StackOptions
from services.cli.stack.layout import Layout, require_free_ports
from services.cli.stack.state import ProcessRef, UpState, remove_state, write_state
from services.common.readiness import check_health

_POLL_S = 0.1
_FIRST_BACKOFF_S = 1.0
_MAX_BACKOFF_S = 30.0
_MAX_RESTARTS = 5
_FORGIVEN_AFTER_S = 600.0  # a service that ran so long starts again with a clean record
# Those that call others go first, so that nothing is asked of a service that has gone.
_STOP_ORDER = (("gateway", "trainer"), ("policy", "reward"), ("feedback",))

# Is told what happens, in a line each.
Report = Callable[[str], None]


@dataclass
class _Slot:
    """A service's place: its child, and its record of restarts."""

    child: Child
    restarts: int = 0
    restart_at_s: float | None = None
    is_given_up: bool = False


@dataclass
class Supervisor:
    """Watches over the services of one layout. `start` first, `stop` last."""

    layout: Layout
    options: StackOptions
    supervisor_pid: int
    report: Report
    _slots: dict[str, _Slot] = field(default_factory=dict)
    _started_at_s: float = field(default_factory=time.time)

    def start(self) -> None:
        """Starts every service. Raises UserError where a port is taken."""
        require_free_ports(self.layout)
        self.layout.home.mkdir(parents=True, exist_ok=True)
        for service in self.layout.services:
            child = Child(self.layout, service, self.options)
            self._slots[service.name] = _Slot(child)
        self._write_state()

    def wait_until_ready(
        self, deadline_s: float, on_wait: Callable[[dict[str, float]], None]
    ) -> dict[str, float]:
        """Seconds that each service took; `on_wait` is told of those so far.

        Raises UserError with the end of a log where one dies or is late.
        """
        begin_s = time.monotonic()
        ready_s: dict[str, float] = {}
        while len(ready_s) < len(self._slots):
            self._require_alive()
            waited_s = time.monotonic() - begin_s
            for service in self.layout.services:
                is_new = service.name not in ready_s
                if is_new and check_health(service.address, service.grpc_name) == "serving":
                    ready_s[service.name] = time.monotonic() - begin_s
            on_wait(ready_s)
            if waited_s > deadline_s:
                self._raise_late(ready_s, deadline_s)
            time.sleep(_POLL_S)
        return ready_s

    def watch(self, stop: Event) -> None:
        """Restarts services that die, until `stop` is set."""
        while not stop.wait(_POLL_S):
            for name, slot in self._slots.items():
                self._look_after(name, slot)

    def stop(self) -> None:
        """Drains and ends every service, callers before called; removes the state file."""
        for wave in _STOP_ORDER:
            children = [self._slots[name].child for name in wave if name in self._slots]
            for child in children:
                child.terminate()
            for child in children:
                child.wait_or_kill()
        remove_state(self.layout.home)

    def _look_after(self, name: str, slot: _Slot) -> None:
        if slot.is_given_up or slot.child.exit_code is None:
            return
        now_s = time.time()
        if slot.restart_at_s is None:
            self._plan_restart(name, slot, now_s)
        elif now_s >= slot.restart_at_s:
            slot.child = Child(self.layout, self.layout[name], self.options)
            slot.restart_at_s = None
            self._write_state()
            self.report(f"{name} started again")

    def _plan_restart(self, name: str, slot: _Slot, now_s: float) -> None:
        if now_s - slot.child.started_at_s > _FORGIVEN_AFTER_S:
            slot.restarts = 0
        ended = f"{name} ended with {_exit_text(slot.child)}; its log ends:\n{_tail(slot.child)}"
        if slot.restarts >= _MAX_RESTARTS:
            slot.is_given_up = True
            self.report(f"{ended}\n{name} is not started again after {slot.restarts} restarts")
            return
        backoff_s = min(_FIRST_BACKOFF_S * 2**slot.restarts, _MAX_BACKOFF_S)
        slot.restarts += 1
        slot.restart_at_s = now_s + backoff_s
        self.report(f"{ended}\n{name} starts again in {backoff_s:.0f} s")

    def _require_alive(self) -> None:
        for name, slot in self._slots.items():
            if slot.child.exit_code is not None:
                raise UserError(
                    f"{name} ended with {_exit_text(slot.child)} before it was ready; "
                    f"its log ends:\n{_tail(slot.child)}",
                    f"the whole log is {slot.child.log}",
                )

    def _raise_late(self, ready_s: dict[str, float], deadline_s: float) -> None:
        late = [name for name in self._slots if name not in ready_s]
        tails = "\n".join(f"{name}:\n{_tail(self._slots[name].child)}" for name in late)
        raise UserError(
            f"{', '.join(late)} not ready after {deadline_s:.0f} s; the logs end:\n{tails}",
            "a longer `--wait`, or see the whole logs in the folder `logs` of the home",
        )

    def _write_state(self) -> None:
        states = tuple(slot.child.state(slot.restarts) for slot in self._slots.values())
        write_state(
            UpState(
                home=self.layout.home,
                supervisor=ProcessRef.of(self.supervisor_pid),
                started_at_s=self._started_at_s,
                services=states,
            )
        )


def _exit_text(child: Child) -> str:
    code = child.exit_code or 0
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _tail(child: Child) -> str:
    return "\n".join(f"  | {line}" for line in child.log_end().splitlines())
