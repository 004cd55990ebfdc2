"""One service as a child process: its environment, its log file, its end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.cli.stack.cores import thread_environment
from services.cli.stack.layout import HOST, Layout, ServiceLayout
from services.cli.stack.log_tail import log_tail
from services.cli.stack.state import ProcessRef, ServiceState


@dataclass(frozen=True, slots=True)
class StackOptions:
    """What `attune up` is told of all services; `settings` are ATTUNE_* of theirs."""

    threads: dict[str, int]
    scorer_roots: tuple[Path, ...]
    drain_s: float = 10.0
    settings: Mapping[str, str] = field(default_factory=dict)


class Child:
    """A started service. Its log is appended to, so that a restart keeps what led to it."""

    def __init__(self, layout: Layout, service: ServiceLayout, options: StackOptions) -> None:
        self.service = service
        self.log = layout.home / "logs" / f"{service.name}.log"
        self.started_at_s = time.time()
        self._drain_s = options.drain_s
        self._threads = options.threads[service.name]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            self._log_begin_byte = log.tell()
            self.process = subprocess.Popen(
                # -P: a folder named `services` where the user stands must not be imported.
                [sys.executable, "-P", "-m", f"services.{service.name}"],
                env=os.environ | service_environment(layout, service, options),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which drains
            )
        self._ref = ProcessRef.of(self.process.pid)

    @property
    def exit_code(self) -> int | None:
        """None while it lives."""
        return self.process.poll()

    def state(self, restarts: int) -> ServiceState:
        """What `home/up.json` says of it."""
        return ServiceState(
            name=self.service.name,
            grpc_name=self.service.grpc_name,
            process=self._ref,
            address=self.service.address,
            metrics_address=f"{HOST}:{self.service.metrics_port}",
            log=self.log,
            threads=self._threads,
            started_at_s=self.started_at_s,
            restarts=restarts,
        )

    def log_end(self) -> str:
        """The last lines that it wrote, not those of an earlier start."""
        return log_tail(self.log, self._log_begin_byte)

    def terminate(self) -> None:
        """Asks it to drain and end."""
        if self.exit_code is None:
            self.process.send_signal(signal.SIGTERM)

    def wait_or_kill(self) -> None:
        """Waits for its drain, then ends it."""
        try:
            self.process.wait(self._drain_s + 5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def service_environment(
    layout: Layout, service: ServiceLayout, options: StackOptions
) -> dict[str, str]:
    """ATTUNE_<SERVICE>_<FIELD> for what `up` decides; host, threads and drain may be set."""
    prefix = f"ATTUNE_{service.name.upper()}_"
    threads = str(options.threads[service.name])
    decided = {
        "PORT": str(service.port),
        "METRICS_PORT": str(service.metrics_port),
        "HOME": str(layout.home),
        "USER_SCORER_ROOTS": os.pathsep.join(map(str, options.scorer_roots)),
    }
    decided |= {f"{s.name.upper()}_ADDRESS": s.address for s in layout.services}
    offered = {"HOST": HOST, "THREADS": threads, "DRAIN_S": str(options.drain_s)}
    offered = {k: v for k, v in offered.items() if prefix + k not in os.environ}
    own = {prefix + field: value for field, value in (decided | offered).items()}
    return own | thread_environment(int(threads)) | dict(options.settings)
