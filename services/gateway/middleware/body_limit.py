"""Bounds the bytes of a request body, by its announced length and again while it is read."""

from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.errors import BodyTooLarge, error_response

# A client that is still sending would see its connection reset before it reads the answer, so that
# much of what follows is read and thrown away.
_DISCARD_FACTOR = 4


class BodyLimit:
    """Reads a body whole before the application sees it, or answers 413."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced_bytes = _content_length(scope["headers"])
        body = None if announced_bytes > self._max_bytes else await self._read(receive)
        if body is None:
            await self._discard(receive)
            message = f"the body has more than {self._max_bytes} bytes, which is the most allowed"
            response = error_response(BodyTooLarge(message))
            response.headers["Connection"] = "close"  # or one that sends for ever would be kept
            await response(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

    async def _read(self, receive: Receive) -> list[Message] | None:
        """The messages of the body; None when they are too many bytes."""
        messages: list[Message] = []
        num_bytes = 0
        while not messages or messages[-1].get("more_body", False):
            message = await receive()
            num_bytes += len(message.get("body", b""))
            if num_bytes > self._max_bytes:
                return None
            messages.append(message)
        return messages

    async def _discard(self, receive: Receive) -> None:
        left_bytes = self._max_bytes * _DISCARD_FACTOR
        while left_bytes > 0:
            message = await receive()
            left_bytes -= len(message.get("body", b""))
            if not message.get("more_body", False):
                return


def _replay(messages: list[Message], receive: Receive) -> Receive:
    """Gives the messages that were read already, then what comes after them."""
    waiting = list(reversed(messages))

    async def next_message() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_message


def _content_length(headers: Iterable[tuple[bytes, bytes]]) -> int:
    values = [value for name, value in headers if name == b"content-length"]
    return int(values[0]) if values and values[0].isdigit() else 0
