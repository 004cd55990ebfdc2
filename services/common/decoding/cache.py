"""Decoded media of late, by content and settings: samples of a group show the same ones."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from prometheus_client import CollectorRegistry

from models.preprocessing.conversation import Medium
from models.preprocessing.decoding import (
    Decoded,
    DecodedAudio,
    DecodedPicture,
    MediaDecoder,
    MediaSettings,
)
from models.preprocessing.images import content_sha256
from services.common.config import DecodingConfig
from services.common.decoding.frames import modality_of
from services.common.decoding.pool import DecodingPool


class DecodedCache:
    """A MediaDecoder that asks another one for what it has not kept. For many threads."""

    def __init__(self, decode: MediaDecoder, capacity_bytes: int) -> None:
        self._decode = decode
        self._capacity_bytes = capacity_bytes
        self._kept: OrderedDict[tuple[str, str, MediaSettings], Decoded] = OrderedDict()
        self._lock = Lock()
        self.num_bytes = 0

    def __call__(self, medium: Medium, settings: MediaSettings) -> Decoded:
        """Raises what the other decoder raises; failures are not kept."""
        key = (content_sha256(medium.data), modality_of(medium), settings)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        decoded = self._decode(medium, settings)
        with self._lock:
            self._keep(key, decoded)
        return decoded

    def _keep(self, key: tuple[str, str, MediaSettings], decoded: Decoded) -> None:
        if key not in self._kept and _num_bytes(decoded) <= self._capacity_bytes:
            self._kept[key] = decoded
            self.num_bytes += _num_bytes(decoded)
        while self.num_bytes > self._capacity_bytes:
            _, dropped = self._kept.popitem(last=False)
            self.num_bytes -= _num_bytes(dropped)


@contextmanager
def media_decoder(config: DecodingConfig, registry: CollectorRegistry) -> Iterator[MediaDecoder]:
    """What a service decodes with: a pool of processes behind a cache."""
    with DecodingPool(
        config.decoders, config.decode_s, config.decode_mib << 20, registry=registry
    ) as pool:
        yield DecodedCache(pool.decode, config.decoded_cache_mib << 20)


def _num_bytes(decoded: Decoded) -> int:
    match decoded:
        case DecodedPicture(tiles):
            return tiles.nbytes
        case DecodedAudio(samples):
            return samples.nbytes
    return decoded.frames.nbytes + decoded.times_s.nbytes
