"""One worker process as the pool sees it: start, ask, stop. Used by one thread at a time."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from models.preprocessing.decoding import Decoded
from models.preprocessing.media_error import MediaError
from services.common.decoding.frames import (
    Reply,
    Request,
    decoded_from,
    max_reply_bytes,
    receive,
    send,
)
from services.common.errors import Unavailable
from services.common.logs import get_logger

_ROOT = Path(__file__).parents[3]
_START_S = 30.0
_END_S = 1.0


class WorkerEnded(Exception):
    """The process is gone, or has said something that is no reply; it must be replaced."""


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """A started process. Made by `start`; to be stopped after TimeoutError or WorkerEnded."""

    _process: subprocess.Popen[bytes]
    _channel: socket.socket

    @classmethod
    def start(cls, memory_bytes: int) -> Self:
        """Waits until the worker is ready."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "services.common.decoding.worker"),
                    *(str(theirs.fileno()), str(memory_bytes)),
                ],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # decoders complain there of what they read
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for the service to handle
            )
        worker = cls(process, ours)
        try:
            receive(ours, 0, time.monotonic() + _START_S)
        except (OSError, EOFError, ValueError) as error:
            worker.stop()
            raise Unavailable(
                f"a media decoder did not start within {_START_S:g} s ({worker._status()})"
            ) from error
        return worker

    @property
    def has_ended(self) -> bool:
        """True once the process is gone."""
        return self._process.poll() is not None

    def ask(self, request: Request, data: bytes, timeout_s: float) -> Decoded:
        """Raises MediaError, TimeoutError, and WorkerEnded with how it ended."""
        end_s = time.monotonic() + timeout_s
        try:
            send(self._channel, request, data, end_s)
            head, body = receive(self._channel, max_reply_bytes(request), end_s)
            reply = Reply.model_validate_json(head)
            if not reply.error:
                return decoded_from(reply, body, request)
        except TimeoutError:  # an OSError too
            raise
        except (OSError, EOFError, ValueError) as error:
            raise WorkerEnded(self._status()) from error
        if reply.trace:
            get_logger(__name__).error("media decoder failed", trace=reply.trace)
        raise MediaError(reply.error)

    def stop(self) -> None:
        """Ends the process at once."""
        self._channel.close()
        if not self.has_ended:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _status(self) -> str:
        try:
            status = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            return "it broke the protocol"
        return signal.Signals(-status).name if status < 0 else f"status {status}"


def _environment() -> dict[str, str]:
    """What finding its code takes; no key or password that the service was given."""
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    libraries = {k: v for k, v in os.environ.items() if k == "LD_LIBRARY_PATH"}
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return {"PYTHONPATH": os.pathsep.join(paths), **libraries, **threads}
