"""A system under measurement: a process that takes orders and gives results as lines of JSON."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, Any

from services.cli.errors import UserError

OURS, OURS_SERVED = "attune", "attune, gRPC"
_STOP_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True)
class Contestant:
    """One that runs; `name` is the user's."""

    name: str
    process: "subprocess.Popen[str]"
    log: IO[str]

    def tell(self, order: dict[str, object]) -> dict[str, Any]:
        """Gives an order and waits for its result. Raises UserError where the process ends."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None
        for line in self.process.stdout:
            if line.startswith("{"):  # some print other things as well
                result: dict[str, Any] = json.loads(line)
                return result
        raise self._ended()

    def _ended(self) -> UserError:
        self.log.seek(0)
        tail = self.log.read()[-1500:]
        return UserError(f"{self.name} ended without a result", tail.strip() or "it said nothing")


def own_command(module: str) -> str:
    """Of a module of services/policy/bench."""
    return f"{shlex.quote(sys.executable)} -P -m services.policy.bench.{module}"


@contextmanager
def running(name: str, command: str) -> Iterator[Contestant]:
    """A contestant by its command. It ends when there are no more orders, and is ended if not."""
    with TemporaryFile("w+", errors="replace") as log:
        process = subprocess.Popen(
            shlex.split(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield Contestant(name, process, log)
        finally:
            _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    with suppress(BrokenPipeError):  # an order that was never read
        if process.stdin is not None:
            process.stdin.close()
    for stop in (process.terminate, process.kill):
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            stop()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
