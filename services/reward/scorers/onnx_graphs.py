"""The two graphs of a reward model (models/export.py) in ONNX Runtime, and what goes into them.

Legend: B batch, L padded length, D width, K heads, N tiles, S tile side, P patches, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.reward_config import TRUNK_GRAPH, VISION_GRAPH

# Tiles that the vision graph takes at once; more add memory, not speed.
_MAX_TILES = 32

_Signature = dict[str, tuple[str, int]]
_VISION_INPUTS: _Signature = {"tiles": ("tensor(float)", 4)}
_VISION_OUTPUTS: _Signature = {"features": ("tensor(float)", 3)}
_TRUNK_INPUTS: _Signature = {
    "token_ids": ("tensor(int64)", 2),
    "lengths": ("tensor(int64)", 1),
    "feature_index": ("tensor(int64)", 2),
    "features": ("tensor(float)", 2),
}
_TRUNK_OUTPUTS: _Signature = {
    "rewards": ("tensor(float)", 2),
    "acceptability": ("tensor(float)", 1),
}


class GraphError(ValueError):
    """A file that is not the graph it should be."""


@dataclass(frozen=True, slots=True)
class EncodedItem:
    """One item as the graphs take it: int64 [L], uint8 [N, S, S, 3]."""

    token_ids: NDArray[np.int64]
    tiles: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class RawScores:
    """float32 [B, K], and float32 [B] logits."""

    rewards_BK: NDArray[np.float32]
    acceptability_B: NDArray[np.float32]


class RewardGraphs:
    """Both sessions. `run` may be called from one thread at a time."""

    def __init__(self, folder: Path, num_threads: int, image_token: int, pad_token: int) -> None:
        self._vision = _session(folder / VISION_GRAPH, num_threads)
        self._trunk = _session(folder / TRUNK_GRAPH, num_threads)
        self._image_token = image_token
        self._pad_token = pad_token
        _check(folder / VISION_GRAPH, self._vision, _VISION_INPUTS, _VISION_OUTPUTS)
        _check(folder / TRUNK_GRAPH, self._trunk, _TRUNK_INPUTS, _TRUNK_OUTPUTS)
        self._width = int(self._vision.get_outputs()[0].shape[2])
        self._patches_per_tile = int(self._vision.get_outputs()[0].shape[1])

    def run(self, items: Sequence[EncodedItem], length: int) -> RawScores:
        """Scores items padded to `length` tokens. A tile that several of them show is seen once."""
        tiles, rows = _unique_tiles(items)
        lengths_B = np.array([len(item.token_ids) for item in items], dtype=np.int64)
        token_ids_BL = np.full((len(items), length), self._pad_token, dtype=np.int64)
        feature_index_BL = np.zeros((len(items), length), dtype=np.int64)
        for b, (item, tile_rows) in enumerate(zip(items, rows, strict=True)):
            token_ids_BL[b, : len(item.token_ids)] = item.token_ids
            places = np.flatnonzero(item.token_ids == self._image_token)
            feature_index_BL[b, places] = self._feature_rows(tile_rows) + 1
        feeds = {
            "token_ids": token_ids_BL,
            "lengths": lengths_B,
            "feature_index": feature_index_BL,
            "features": self._features_FD(tiles),
        }
        rewards_BK, acceptability_B = self._trunk.run(["rewards", "acceptability"], feeds)
        return RawScores(rewards_BK, acceptability_B)

    def _feature_rows(self, tile_rows: list[int]) -> NDArray[np.int64]:
        """Rows of the features of an item's tiles, patch after patch."""
        first = np.array(tile_rows, dtype=np.int64)[:, None] * self._patches_per_tile
        return (first + np.arange(self._patches_per_tile)).reshape(-1)

    def _features_FD(self, tiles: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        if not tiles:  # a graph dimension of 0 is legal, but not every kernel has met one
            return np.zeros((1, self._width), dtype=np.float32)
        tiles_N3SS = np.stack(tiles).transpose(0, 3, 1, 2).astype(np.float32) / 255
        parts = [
            self._vision.run(["features"], {"tiles": tiles_N3SS[start : start + _MAX_TILES]})[0]
            for start in range(0, len(tiles), _MAX_TILES)
        ]
        return np.concatenate(parts).reshape(-1, self._width)


def _unique_tiles(
    items: Sequence[EncodedItem],
) -> tuple[list[NDArray[np.uint8]], list[list[int]]]:
    """The distinct tiles, and for each item the places of its own among them.

    The samples of a group share their prompt's picture, so it goes through the tower once.
    """
    places: dict[bytes, int] = {}
    tiles: list[NDArray[np.uint8]] = []
    rows: list[list[int]] = []
    for item in items:
        rows.append([])
        for tile in item.tiles:
            place = places.setdefault(tile.tobytes(), len(tiles))
            if place == len(tiles):
                tiles.append(tile)
            rows[-1].append(place)
    return tiles, rows


def _session(path: Path, num_threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that spin while they wait take the cores from the other services.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Batches of ever new shapes would leave a memory plan behind for each.
    options.enable_mem_pattern = False
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common class below Exception
        raise GraphError(f"{path.name} cannot be loaded: {error}") from error


def _check(
    path: Path, session: onnxruntime.InferenceSession, inputs: _Signature, outputs: _Signature
) -> None:
    for what, wanted, given in (
        ("inputs", inputs, session.get_inputs()),
        ("outputs", outputs, session.get_outputs()),
    ):
        found = {one.name: (one.type, len(one.shape)) for one in given}
        if found != wanted:
            raise GraphError(f"{path.name} has {what} {found}; expected {wanted}")
