"""The process that decodes untrusted media for the pool, one at a time, within its own bounds.

Started by process.py with the number of its socket and the bytes of memory that it may map. It
ends when the other end of the socket closes, even in the middle of a decode.
"""

import os
import resource
import select
import socket
import sys
import threading
import traceback

from models.preprocessing.decoding import decode_medium
from models.preprocessing.media_error import MediaError
from services.common.decoding.frames import Reply, Request, receive, reply_to, send

_MAX_OPEN_FILES = 32
_NICENESS = 5  # what serves goes before what prepares
_MAX_REQUEST_BYTES = 1 << 30  # the pool checks sizes by the settings; this is only a bound
_TRACE_CHARS = 1500


def main(channel: socket.socket, memory_bytes: int) -> None:
    """Says that it is ready, then answers until the other end closes."""
    threading.Thread(target=_end_with_the_pool, args=(channel,), daemon=True).start()
    _bound_this_process(memory_bytes)
    send(channel, Reply(), b"", None)
    while True:
        try:
            head, body = receive(channel, _MAX_REQUEST_BYTES, None)
        except EOFError:
            return
        send(channel, *_answer(Request.model_validate_json(head), body, memory_bytes), None)


def _answer(request: Request, data: bytes, memory_bytes: int) -> tuple[Reply, bytes]:
    try:
        return reply_to(decode_medium(request.medium(data), request.settings))
    except MediaError as error:
        return Reply(error=str(error)), b""
    except MemoryError:
        mib = memory_bytes >> 20
        return Reply(error=f"{request.modality} takes over {mib} MiB of memory to decode"), b""
    except Exception as error:  # the outermost loop
        trace = traceback.format_exc()[-_TRACE_CHARS:]
        text = f"{request.modality} cannot be decoded ({type(error).__name__})"
        return Reply(error=text, trace=trace), b""


def _bound_this_process(memory_bytes: int) -> None:
    """Memory, open files, no core dump, no file written, a lower priority."""
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_NOFILE, _MAX_OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    os.nice(_NICENESS)


def _end_with_the_pool(channel: socket.socket) -> None:
    """The parent-death signal would come when the thread ends that started this process."""
    watch = select.poll()
    watch.register(channel, select.POLLRDHUP)
    watch.poll()
    os._exit(0)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
