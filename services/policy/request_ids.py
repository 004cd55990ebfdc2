"""Refuses a request id that was used with another body (DESIGN law 8).

A repeat with the same body runs again and, its seed following from the id, gives the same samples.
"""

import hashlib
from collections import OrderedDict

from google.protobuf.message import Message

from services.common.errors import AlreadyExists


class RequestIds:
    """Remembers the newest `capacity` ids."""

    def __init__(self, capacity: int = 65_536) -> None:
        self._capacity = capacity
        self._digests: OrderedDict[str, bytes] = OrderedDict()

    def check(self, request_id: str, request: Message) -> None:
        """Raises AlreadyExists for a known id with another body. An empty id is never known."""
        if not request_id:
            return
        digest = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
        if self._digests.setdefault(request_id, digest) != digest:
            raise AlreadyExists(f"request id {request_id!r} was used with another body")
        self._digests.move_to_end(request_id)
        if len(self._digests) > self._capacity:
            self._digests.popitem(last=False)
