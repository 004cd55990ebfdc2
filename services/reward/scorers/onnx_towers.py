"""The media encoders of a reward model in ONNX Runtime: each distinct unit is encoded once.

A unit is a tile of a picture, a window of a recording or a frame of a clip. The samples of a group
share their prompt's media, so these go through the encoder once.
Legend: N units, P features of a unit, D width, F features, S side, M mels, T frames of a window.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.preprocessing.media_arrays import MediaArrays

# Units that a graph takes at once; more add memory, not speed.
_MAX_UNITS = 32


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """What goes into the graph for one unit, by input name, and how many features stay."""

    inputs: dict[str, NDArray[np.float32]]
    num_features: int

    @property
    def key(self) -> tuple[bytes, ...]:
        return tuple(value.tobytes() for value in self.inputs.values())


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Features of all distinct units, and for each item the rows that are its own, in order."""

    features_FD: NDArray[np.float32]
    rows: list[NDArray[np.int64]]


@dataclass(frozen=True, slots=True, eq=False)
class Tower:
    """One encoder, and the placeholder id that its features replace."""

    token: int
    session: onnxruntime.InferenceSession
    units: Callable[[MediaArrays, int], list[Unit]]

    @property
    def features_per_unit(self) -> int:
        return int(self.session.get_outputs()[0].shape[1])

    def encode(self, items: Sequence[MediaArrays]) -> Encoded:
        """Runs the distinct units of all items."""
        places: dict[tuple[bytes, ...], int] = {}
        distinct: list[Unit] = []
        rows: list[NDArray[np.int64]] = []
        per_unit = self.features_per_unit
        for media in items:
            own = [np.zeros(0, np.int64)]
            for unit in self.units(media, per_unit):
                place = places.setdefault(unit.key, len(distinct))
                if place == len(distinct):
                    distinct.append(unit)
                own.append(place * per_unit + np.arange(unit.num_features))
            rows.append(np.concatenate(own))
        return Encoded(self._run(distinct), rows)

    def _run(self, units: list[Unit]) -> NDArray[np.float32]:
        width = int(self.session.get_outputs()[0].shape[2])
        parts = [np.zeros((0, width), np.float32)]
        for start in range(0, len(units), _MAX_UNITS):
            several = units[start : start + _MAX_UNITS]
            feeds = {
                name: np.stack([unit.inputs[name] for unit in several])
                for name in several[0].inputs
            }
            [features_NPD] = self.session.run(["features"], feeds)
            parts.append(features_NPD.reshape(-1, width))
        return np.concatenate(parts)


def tile_units(media: MediaArrays, per_unit: int) -> list[Unit]:
    """Of pictures."""
    return [Unit({"tiles": _pixels(tile)}, per_unit) for tile in media.tiles_NSS3]


def window_units(media: MediaArrays, per_unit: int) -> list[Unit]:
    """Of recordings; a last window that is not full has fewer features."""
    pairs = zip(media.mels_NMT, media.mel_tokens_N.tolist(), strict=True)
    return [Unit({"mels": mels_MT}, tokens) for mels_MT, tokens in pairs]


def frame_units(media: MediaArrays, per_unit: int) -> list[Unit]:
    """Of clips; a frame at another time is another unit."""
    pairs = zip(media.frames_NSS3, media.times_N, strict=True)
    return [
        Unit({"frames": _pixels(frame), "times": np.asarray(time)}, per_unit)
        for frame, time in pairs
    ]


def _pixels(pixels_SS3: NDArray[np.uint8]) -> NDArray[np.float32]:
    return pixels_SS3.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
