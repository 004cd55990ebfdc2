"""One process that runs a user's function: start, ask, stop. `user.py` restarts it when it ends.

The protocol has a socket of its own, so nothing that the function prints can disturb it.
"""

import asyncio
import json
import os
import signal
import socket
import struct
import sys
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from services.common.logs import get_logger

_WORKER = Path(__file__).with_name("user_worker.py")
_REPLY_BYTES = 1 << 20
_OUTPUT_CHUNKS = 4
_OUTPUT_CHARS = 500


class UserProcessEnded(Exception):
    """The process is gone, or has said something that is no reply; it must be replaced."""


class Reply(BaseModel):
    """What the function gave for an item."""

    model_config = ConfigDict(extra="forbid")
    ready: bool = False
    abstain: bool = False
    reward: float | None = None
    subscores: dict[str, float] = {}
    rationale: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class UserCode:
    """A function of a file, with the file's content as it was when the scorer was loaded."""

    file: Path
    function: str
    source: str


@dataclass
class UserProcess:
    """A started process. Made by `start`; one question at a time."""

    _process: asyncio.subprocess.Process
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter
    _output: deque[str] = field(default_factory=lambda: deque(maxlen=_OUTPUT_CHUNKS))
    _output_task: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, code: UserCode, timeout_s: float) -> Self:
        """Raises UserProcessEnded if the code does not load within the time."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", str(_WORKER), str(theirs.fileno())),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=code.file.parent,
                env={"OMP_NUM_THREADS": "1", **os.environ},
                start_new_session=True,  # whatever it starts is ended with it
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        started = cls(process, reader, writer)
        started._output_task = asyncio.create_task(started._keep_output())
        try:
            await started._load(code, timeout_s)
        except BaseException:
            await started.stop()
            raise
        return started

    @property
    def has_ended(self) -> bool:
        """True once the process is known to be gone."""
        return self._process.returncode is not None

    async def ask(self, message: bytes, timeout_s: float) -> Reply:
        """The reply to one JSON message. Raises TimeoutError or UserProcessEnded.

        After either, or when cancelled, the process must be stopped: it may answer late.
        """
        try:
            async with asyncio.timeout(timeout_s):
                self._writer.write(struct.pack(">I", len(message)) + message)
                await self._writer.drain()
                return Reply.model_validate_json(await self._read_frame())
        except TimeoutError:  # an OSError too
            raise
        except (OSError, EOFError, ValidationError) as error:
            raise UserProcessEnded(await self._explain(error)) from error

    async def stop(self) -> None:
        """Ends the process and all that it started, at once."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        self._writer.close()
        if self._output_task is not None:
            self._output_task.cancel()
            await asyncio.gather(self._output_task, return_exceptions=True)

    async def _load(self, code: UserCode, timeout_s: float) -> None:
        message = {"file": str(code.file), "function": code.function, "source": code.source}
        try:
            reply = await self.ask(json.dumps(message).encode(), timeout_s)
        except TimeoutError as error:
            raise UserProcessEnded(f"{code.file.name} was not loaded in {timeout_s} s") from error
        if not reply.ready:
            raise UserProcessEnded(f"{code.file.name} cannot be loaded: {reply.error}")

    async def _read_frame(self) -> bytes:
        (length,) = struct.unpack(">I", await self._reader.readexactly(4))
        if length > _REPLY_BYTES:
            raise EOFError(f"a reply of {length} bytes; at most {_REPLY_BYTES} are read")
        return await self._reader.readexactly(length)

    async def _explain(self, error: Exception) -> str:
        try:
            async with asyncio.timeout(0.5):  # the exit status follows the end of the stream
                status = await self._process.wait()
        except TimeoutError:
            return f"the user's process broke the protocol ({error})"
        said = "".join(self._output)[-_OUTPUT_CHARS:].strip()
        return f"the user's process ended with status {status}" + (f": {said}" if said else "")

    async def _keep_output(self) -> None:
        """Reads what the function prints: its end goes into errors, its beginning into the log."""
        assert self._process.stdout is not None
        log = get_logger(__name__)
        while chunk := await self._process.stdout.read(4096):
            text = chunk.decode(errors="replace")
            self._output.append(text)
            log.debug("user scorer printed", text=text[:_OUTPUT_CHARS])
