"""The process that a user's scorer runs in. Started by user_process.py as a script, with nothing of
Attune on its path: standard library only.

Frames on the given socket are a length (4 bytes, big-endian) and JSON. First comes the source, then
items; each is answered by one frame. Standard output and error stay the user's own.
"""

import json
import numbers
import os
import queue
import socket
import struct
import sys
import threading
import traceback
import types
from collections.abc import Callable
from typing import Any

_TRACE_CHARS = 1500


def main(channel: socket.socket) -> None:
    """Loads the function, says so, then answers items until the other end closes."""
    frames: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(channel, frames), daemon=True).start()
    try:
        score = _load(**frames.get())
    except BaseException as error:
        _send(channel, {"error": _trace(error)})
        return
    _send(channel, {"ready": True})
    while True:
        _send(channel, _answer(score, frames.get()))


def _load(file: str, function: str, source: str) -> Callable[[Any], Any]:
    sys.path.insert(0, os.path.dirname(file))
    sys.argv = [file]
    module = types.ModuleType("user_scorer")  # its own name might hide a module that it imports
    module.__file__ = file
    sys.modules[module.__name__] = module
    exec(compile(source, file, "exec"), module.__dict__)
    found: Callable[[Any], Any] | None = getattr(module, function, None)
    if not callable(found):
        raise AttributeError(f"{file} has no function {function!r}")
    return found


def _answer(score: Callable[[Any], Any], item: Any) -> dict[str, Any]:
    try:
        reply = _as_reply(score(item))
        json.dumps(reply)
    except (Exception, SystemExit) as error:
        return {"error": _trace(error)}
    return reply


def _as_reply(value: Any) -> dict[str, Any]:
    if value is None:
        return {"abstain": True}
    if isinstance(value, numbers.Real):
        return {"reward": float(value)}
    if isinstance(value, dict) and isinstance(value.get("reward"), numbers.Real):
        subscores = {str(k): float(v) for k, v in dict(value.get("subscores") or {}).items()}
        return {
            "reward": float(value["reward"]),
            "subscores": subscores,
            "rationale": str(value.get("rationale") or ""),
        }
    raise TypeError(
        f"the function returned {type(value).__name__} {str(value)[:80]!r}; expected a number, "
        'None to abstain, or {"reward": number, "subscores": {…}, "rationale": "…"}'
    )


def _read(channel: socket.socket, frames: "queue.SimpleQueue[Any]") -> None:
    """In a thread of its own, so that the process ends with its service even in a hung function."""
    with channel.makefile("rb") as stream:
        while len(head := stream.read(4)) == 4:
            frames.put(json.loads(stream.read(struct.unpack(">I", head)[0])))
    os._exit(0)


def _send(channel: socket.socket, message: dict[str, Any]) -> None:
    body = json.dumps(message).encode()
    channel.sendall(struct.pack(">I", len(body)) + body)


def _trace(error: BaseException) -> str:
    """The traceback as the user's own code sees it, without the frames of this file."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))[-_TRACE_CHARS:].strip()


if __name__ == "__main__":
    main_socket = socket.socket(fileno=int(sys.argv[1]))
    main_socket.set_inheritable(False)
    main(main_socket)
