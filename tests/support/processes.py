"""Starts real services as processes, as `attune up` does, on free ports; waits until they serve."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_START_TIMEOUT_S = 90
_STOP_TIMEOUT_S = 20


@dataclass(frozen=True)
class ServiceProcess:
    """A service that has said `ready`."""

    name: str
    address: str
    metrics_port: int | None
    home: Path
    process: "subprocess.Popen[str]"

    @property
    def url(self) -> str:
        """For the gateway: where HTTP clients go."""
        return f"http://{self.address}"

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.process.kill()
        self.process.wait(_STOP_TIMEOUT_S)

    def stop(self) -> int:
        """SIGTERM, and wait for the end; gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_STOP_TIMEOUT_S)


@contextmanager
def running(
    name: str, home: Path, port: int = 0, python: Path | None = None, **settings: object
) -> Iterator[ServiceProcess]:
    """`python -m services.NAME` until the context ends; settings go in as its environment.

    With another Python, the service is the one that is installed there.
    """
    interpreter = [sys.executable] if python is None else [str(python), "-P"]
    command = [*interpreter, "-m", f"services.{name}"]
    metrics = {} if name == "gateway" else {"metrics_port": 0}
    own = {"home": home, "port": port, "threads": 1, "drain_s": 5} | metrics | settings
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(
                command, cwd=_ROOT, env=_environment(name, own), stderr=subprocess.PIPE, text=True
            )
        )
        stack.callback(_end, process)
        ready = _wait_until_ready(name, process)
        yield ServiceProcess(name, str(ready["address"]), ready.get("metrics_port"), home, process)


def free_port() -> int:
    """A port that nothing listens on now."""
    return _free_base([0])


def free_port_base() -> int:
    """A base of `attune up` whose nine ports are free now."""
    return _free_base([*range(1, 5), *range(101, 105), 1000])


def _free_base(offsets: list[int]) -> int:
    """Below the ports that outgoing connections take, so that none takes one before its service."""
    while True:
        base = random.SystemRandom().randrange(10_000, 31_000)
        if all(_is_free(base + offset) for offset in offsets):
            return base


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _environment(name: str, settings: Mapping[str, object]) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("ATTUNE_")}
    own = {f"ATTUNE_{name}_{key}".upper(): str(value) for key, value in settings.items()}
    return inherited | {"OMP_NUM_THREADS": "1"} | own


def _wait_until_ready(name: str, process: "subprocess.Popen[str]") -> dict[str, object]:
    """The line `ready` of its log; the rest of the log is read too, so that it never blocks."""
    answer: dict[str, object] = {}
    recent: deque[str] = deque(maxlen=20)
    settled = threading.Event()

    def read() -> None:
        for line in process.stderr or ():
            recent.append(line)
            fields = _fields(line)
            if fields.get("event") == "ready" and not answer:
                answer.update(fields)
                settled.set()
        settled.set()

    threading.Thread(target=read, daemon=True).start()
    if not settled.wait(_START_TIMEOUT_S) or not answer:
        raise RuntimeError(f"the {name} service did not start; its log ends:\n{''.join(recent)}")
    return answer


def _fields(line: str) -> dict[str, object]:
    try:
        fields = json.loads(line)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
