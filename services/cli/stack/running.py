"""`attune up` in the foreground or behind, and `attune down`."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event

import psutil
import typer

from services.cli.errors import UserError
from services.cli.stack.connection import start_and_wait, supervisor_of
from services.cli.stack.layout import layout_at, require_free_ports
from services.cli.stack.log_tail import log_tail
from services.cli.stack.state import UpState, read_state, remove_state
from services.cli.stack.supervisor import Supervisor
from services.cli.terminal import messages, results

_POLL_S = 0.1
_STOP_DEADLINE_S = 60.0


def up_foreground(home: Path, port_base: int, deadline_s: float) -> None:
    """Serves until Ctrl-C or SIGTERM."""
    _require_nothing_up(home)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    supervisor = supervisor_of(layout_at(home, port_base), ())
    try:
        supervisor.start()
        start_and_wait(supervisor, deadline_s)
        signal.signal(signal.SIGINT, lambda *_: stop.set())
        print_addresses(supervisor)
        if messages().is_terminal:
            messages().print("[dim]Ctrl-C stops them[/]")
        supervisor.watch(stop)
        messages().print("letting requests finish")
    finally:
        supervisor.stop()
    messages().print("all services stopped")


def up_detached(home: Path, port_base: int, deadline_s: float) -> None:
    """Starts `attune up` behind, and returns once all services serve."""
    _require_nothing_up(home)
    layout = layout_at(home, port_base)
    require_free_ports(layout)
    log_path = layout.home / "logs" / "up.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-P", "-m", "services.cli", "up", "--home", str(layout.home)]
    command += ["--port-base", str(port_base), "--wait", str(deadline_s)]
    log_path.write_bytes(b"")
    with open(log_path, "ab") as log:
        behind = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    with messages().status("starting services"):
        while "ready in" not in log_tail(log_path):
            if behind.poll() is not None:
                messages().print(log_path.read_text().strip(), markup=False)
                raise typer.Exit(1)
            time.sleep(_POLL_S)
    results().print(log_path.read_text().strip())


def stop_services(home: Path) -> list[str]:
    """Stops what is up under a home folder; the names of what was stopped."""
    state = read_state(home.absolute())
    if state is None:
        return []
    supervisor = state.supervisor.find()
    alive = [p for s in state.services if (p := s.process.find()) is not None]
    names = [s.name for s in state.services if s.process.find() is not None]
    with messages().status(f"stopping {', '.join(names)}"):
        if supervisor is not None:
            _end(supervisor)
        else:
            for process in alive:
                process.terminate()
        _, late = psutil.wait_procs(alive, timeout=_STOP_DEADLINE_S)
        for process in late:
            process.kill()
        remove_state(state.home)
    return names


def print_addresses(supervisor: Supervisor) -> None:
    """Where each service listens, the page to open first."""
    services = {s.name: s.address for s in supervisor.layout.services}
    out = results()
    out.print(f"  open      [bold]http://{services.pop('gateway')}[/]")
    for name, address in sorted(services.items()):
        out.print(f"  {name:<9} {address}")
    out.print(f"  [dim]logs      {supervisor.layout.home / 'logs'}[/]")


def _require_nothing_up(home: Path) -> None:
    state: UpState | None = read_state(home.absolute())
    if state is None:
        return
    where = state.address("gateway")
    raise UserError(
        f"services of home {home} are up already, at http://{where}",
        "`attune status` shows them, `attune down` stops them, `--home` names another folder",
    )


def _end(supervisor: psutil.Process) -> None:
    if supervisor.pid == os.getpid():
        raise UserError("the services belong to this process")
    supervisor.terminate()
    try:
        supervisor.wait(_STOP_DEADLINE_S)
    except psutil.TimeoutExpired:
        supervisor.kill()
