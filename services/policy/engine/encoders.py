"""Media through their encoders, one unit at a time, and what came of those seen before.

A unit is a picture's tile, a window of a recording, a frame of a clip. Each is encoded by itself
and on one thread, so that its features never depend on what it came with.
Legend: F features of a prompt, D width.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
from torch import Tensor

from models.config import OmniConfig
from models.media import MediaTensors
from models.preprocessing.media_arrays import MediaArrays
from services.policy.engine.served_model import ServedModel


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """What is encoded together, the hash of its content, and how many ids stand for it."""

    arrays: MediaArrays
    digest: str
    num_features: int


def units_of(media: MediaArrays, config: OmniConfig) -> tuple[Unit, ...]:
    """Tiles, then windows, then frames: the order of a prompt's features."""
    per_tile, per_frame = config.patches_per_tile, config.tokens_per_frame
    units = []
    for arrays in _split(media):
        num_window_tokens = int(arrays.mel_tokens_N.sum())
        count = per_tile * len(arrays.tiles_NSS3) + per_frame * len(arrays.frames_NSS3)
        units.append(Unit(arrays, _digest(arrays), count + num_window_tokens))
    return tuple(units)


class FeatureCache:
    """The features used last, of at most `capacity_bytes`, by version and content."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._features: OrderedDict[tuple[str, str], Tensor] = OrderedDict()
        self.num_bytes = 0
        self.num_hits = 0
        self.num_misses = 0

    def features(self, served: ServedModel, unit: Unit) -> Tensor:
        """features_FD of a unit; a row for each id that stands for it."""
        key = (served.version, unit.digest)
        if key in self._features:
            self.num_hits += 1
            self._features.move_to_end(key)
            return self._features[key]
        self.num_misses += 1
        features_FD = served.weights.encode_media(MediaTensors.from_arrays(unit.arrays))
        self._features[key] = features_FD
        self.num_bytes += features_FD.nbytes
        while self.num_bytes > self._capacity_bytes:
            _, dropped = self._features.popitem(last=False)
            self.num_bytes -= dropped.nbytes
        return features_FD

    def forget(self, version: str) -> None:
        """Drops what a version made."""
        for key in [key for key in self._features if key[0] == version]:
            self.num_bytes -= self._features.pop(key).nbytes


def _split(media: MediaArrays) -> Iterator[MediaArrays]:
    nothing = MediaArrays(
        media.tiles_NSS3[:0],
        media.mels_NMT[:0],
        media.mel_tokens_N[:0],
        media.frames_NSS3[:0],
        media.times_N[:0],
    )
    for n in range(len(media.tiles_NSS3)):
        yield replace(nothing, tiles_NSS3=media.tiles_NSS3[n : n + 1])
    for n in range(len(media.mels_NMT)):
        yield replace(
            nothing,
            mels_NMT=media.mels_NMT[n : n + 1],
            mel_tokens_N=media.mel_tokens_N[n : n + 1],
        )
    for n in range(len(media.frames_NSS3)):
        yield replace(
            nothing, frames_NSS3=media.frames_NSS3[n : n + 1], times_N=media.times_N[n : n + 1]
        )


def _digest(arrays: MediaArrays) -> str:
    digest = hashlib.sha256()
    for field in fields(arrays):
        array = getattr(arrays, field.name)
        digest.update(f"{field.name} {array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
