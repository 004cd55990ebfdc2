"""Media that this replica has seen, by tenant and hash, so that they need not be sent again."""

from collections import OrderedDict

from models.preprocessing.images import content_sha256
from services.common.errors import NotFound


class MediaCache:
    """The most recently used media of at most `capacity_bytes`. The hash is computed here."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._media: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self.num_bytes = 0

    def put(self, tenant: str, data: bytes) -> None:
        """Remembers a medium that proved good; forgets the least used ones where it must."""
        key = (tenant, content_sha256(data))
        if key not in self._media and len(data) <= self._capacity_bytes:
            self._media[key] = data
            self.num_bytes += len(data)
        while self.num_bytes > self._capacity_bytes:
            _, dropped = self._media.popitem(last=False)
            self.num_bytes -= len(dropped)

    def get(self, tenant: str, sha256: str) -> bytes:
        """The bytes of a hash. Raises NotFound for what was not seen or is forgotten."""
        key = (tenant, sha256.lower())
        if key not in self._media:
            raise NotFound(
                f"media {sha256[:80]!r} are not known to this replica; send their bytes as data"
            )
        self._media.move_to_end(key)
        return self._media[key]
