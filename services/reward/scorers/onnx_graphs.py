"""The graphs of a reward model (models/export.py) in ONNX Runtime, and what goes into them.

Legend: B batch, L padded length, D width, K heads, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.config import OmniConfig
from models.preprocessing.media_arrays import MediaArrays
from models.reward_config import AUDIO_GRAPH, TRUNK_GRAPH, VIDEO_GRAPH, VISION_GRAPH
from services.reward.scorers.onnx_towers import Tower, frame_units, tile_units, window_units

_Signature = dict[str, tuple[str, int]]
_VISION_INPUTS: _Signature = {"tiles": ("tensor(float)", 4)}
_AUDIO_INPUTS: _Signature = {"mels": ("tensor(float)", 3)}
_VIDEO_INPUTS: _Signature = {"frames": ("tensor(float)", 4), "times": ("tensor(float)", 1)}
_FEATURES: _Signature = {"features": ("tensor(float)", 3)}
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
    """One item as the graphs take it: int64 [L], and its media."""

    token_ids: NDArray[np.int64]
    media: MediaArrays


@dataclass(frozen=True, slots=True)
class RawScores:
    """float32 [B, K], and float32 [B] logits."""

    rewards_BK: NDArray[np.float32]
    acceptability_B: NDArray[np.float32]


class RewardGraphs:
    """The sessions of one model. `run` may be called from one thread at a time."""

    def __init__(self, folder: Path, num_threads: int, model: OmniConfig, pad_token: int) -> None:
        def opened(
            name: str, inputs: _Signature, outputs: _Signature
        ) -> onnxruntime.InferenceSession:
            session = _session(folder / name, num_threads)
            _check(folder / name, session, inputs, outputs)
            return session

        encoders = (
            (model.image_token, model.vision, VISION_GRAPH, _VISION_INPUTS, tile_units),
            (model.audio_token, model.audio, AUDIO_GRAPH, _AUDIO_INPUTS, window_units),
            (model.video_token, model.video, VIDEO_GRAPH, _VIDEO_INPUTS, frame_units),
        )
        self._towers = [
            Tower(token, opened(name, inputs, _FEATURES), units)
            for token, section, name, inputs, units in encoders
            if section is not None and token is not None
        ]
        self._trunk = opened(TRUNK_GRAPH, _TRUNK_INPUTS, _TRUNK_OUTPUTS)
        self._width = model.decoder.width
        self._pad_token = pad_token

    def run(self, items: Sequence[EncodedItem], length: int) -> RawScores:
        """Scores items padded to `length` tokens."""
        token_ids_BL = np.full((len(items), length), self._pad_token, dtype=np.int64)
        for b, item in enumerate(items):
            token_ids_BL[b, : len(item.token_ids)] = item.token_ids
        feature_index_BL, features_FD = self._features(items, token_ids_BL)
        feeds = {
            "token_ids": token_ids_BL,
            "lengths": np.array([len(item.token_ids) for item in items], dtype=np.int64),
            "feature_index": feature_index_BL,
            "features": features_FD,
        }
        rewards_BK, acceptability_B = self._trunk.run(["rewards", "acceptability"], feeds)
        return RawScores(rewards_BK, acceptability_B)

    def _features(
        self, items: Sequence[EncodedItem], token_ids_BL: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(feature_index_BL, 1 + row or 0 for none; features_FD) of all media."""
        index_BL = np.zeros_like(token_ids_BL)
        parts: list[NDArray[np.float32]] = []
        first = 1
        for tower in self._towers:
            encoded = tower.encode([item.media for item in items])
            for index_L, ids_L, rows in zip(index_BL, token_ids_BL, encoded.rows, strict=True):
                index_L[ids_L == tower.token] = first + rows
            parts.append(encoded.features_FD)
            first += len(encoded.features_FD)
        if first == 1:  # a graph dimension of 0 is legal, but not every kernel has met one
            parts.append(np.zeros((1, self._width), np.float32))
        return index_BL, np.concatenate(parts)


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
