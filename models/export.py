"""Exports a reward model as ONNX graphs, which services/reward runs without torch.

vision.onnx  tiles float32 [N,3,S,S] in 0..1 → features [N,P,D]; for a model that sees
audio.onnx   mels float32 [N,M,T] → features [N,P,D]; for a model that hears
video.onnx   frames float32 [N,3,S,S] in 0..1, times float32 [N] in seconds → features [N,P,D]
trunk.onnx   token_ids, feature_index int64 [B,L], lengths int64 [B], features float32 [F,D]
             → rewards [B,K] (raw), acceptability [B] (logit)
`feature_index` 0 is none, i is row i-1 of `features`. B, L, N and F are dynamic.
Legend: B batch, L length, D width, K heads, N units, S side, M mels, T frames, P features of a
unit, F features.
"""

import copy
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim

from models.omni import OmniModel
from models.preprocessing.prompt import Preprocessor
from models.reward import RewardModel, write_description
from models.reward_config import (
    AUDIO_GRAPH,
    TRUNK_GRAPH,
    VIDEO_GRAPH,
    VISION_GRAPH,
    Calibration,
)

# Opset 23 has RMSNormalization and grouped-query Attention as operators: 96 ms for 32×128 tokens on
# one core, 134 ms as decomposed for opset 18. The older exporter knows no rms_norm at all.
_OPSET = 23


def export_reward(
    folder: Path,
    model: RewardModel,
    preprocessor: Preprocessor,
    calibration: Calibration = Calibration(),
) -> None:
    """Writes a graph per encoder, trunk.onnx, config.json, tokenizer.json: all that serving needs.

    The graphs are float32, whatever the model's type and device; the model itself is not touched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    still = copy.deepcopy(model).to("cpu", torch.float32).eval()
    with torch.no_grad():
        _export_encoders(folder, still.trunk)
        _export_trunk(folder / TRUNK_GRAPH, still)
    write_description(folder, model, preprocessor, calibration)


class _EncoderGraph(nn.Module):
    """One of the model's encoders as a module of its own."""

    def __init__(self, trunk: OmniModel, encode: Callable[..., Tensor]) -> None:
        super().__init__()
        self.trunk = trunk
        self._encode = encode

    def forward(self, *inputs: Tensor) -> Tensor:
        return self._encode(self.trunk, *inputs)


class _TrunkGraph(nn.Module):
    """`RewardModel.forward` with fusion by index: a graph cannot count placeholders."""

    def __init__(self, model: RewardModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, token_ids_BL: Tensor, lengths_B: Tensor, feature_index_BL: Tensor, features_FD: Tensor
    ) -> tuple[Tensor, Tensor]:
        text_BLD = self.model.trunk.language_model.embed_tokens(token_ids_BL)
        rows_FD = torch.cat([torch.zeros_like(text_BLD[0, :1]), features_FD])
        is_media_BL1 = (feature_index_BL > 0)[..., None]
        hidden_BLD = torch.where(is_media_BL1, rows_FD[feature_index_BL], text_BLD)
        attention = _GraphAttention(lengths_B, self.model.config.attention == "causal")
        return self.model.score_embedded(hidden_BLD, lengths_B, attention)


class _GraphAttention:
    """`DenseAttention` in the form that becomes one Attention operator: no repeated heads, and a
    mask of full size, since ONNX Runtime does not broadcast its query axis."""

    def __init__(self, lengths_B: Tensor, causal: bool) -> None:
        self._lengths_B = lengths_B
        self._causal = causal

    def __call__(
        self, layer: int, query_BHLK: Tensor, key_BJLK: Tensor, value_BJLK: Tensor
    ) -> Tensor:
        return F.scaled_dot_product_attention(
            query_BHLK,
            key_BJLK,
            value_BJLK,
            attn_mask=None if self._causal else self._mask_B1LL(query_BHLK.shape[2]),
            is_causal=self._causal,
            enable_gqa=True,
        )

    def _mask_B1LL(self, length: int) -> Tensor:
        positions_L = torch.arange(length, device=self._lengths_B.device)
        is_token_BL = positions_L < self._lengths_B[:, None]
        return is_token_BL[:, None, None, :].expand(-1, 1, length, -1)


def _export_encoders(folder: Path, trunk: OmniModel) -> None:
    vision, audio, video = trunk.config.vision, trunk.config.audio, trunk.config.video
    if vision is not None:
        pixels = torch.zeros(3, 3, vision.tile_size, vision.tile_size)
        _export_encoder(folder / VISION_GRAPH, trunk, OmniModel.encode_tiles, {"tiles": pixels})
        if video is not None:
            inputs = {"frames": pixels, "times": torch.zeros(3)}
            _export_encoder(folder / VIDEO_GRAPH, trunk, OmniModel.encode_frames, inputs)
    if audio is not None:
        mels = torch.zeros(3, audio.num_mels, audio.window_frames)
        _export_encoder(folder / AUDIO_GRAPH, trunk, OmniModel.encode_windows, {"mels": mels})


def _export_encoder(
    path: Path, trunk: OmniModel, encode: Callable[..., Tensor], inputs: dict[str, Tensor]
) -> None:
    units = Dim("N")
    shapes = tuple({0: units} for _ in inputs)
    _export(path, _EncoderGraph(trunk, encode), inputs, (shapes,), ("features",))


def _export_trunk(path: Path, model: RewardModel) -> None:
    decoder = model.trunk.config.decoder
    batch, length = Dim("B"), Dim("L", max=decoder.max_length)
    # Sizes of 0 or 1 would be taken for constants, equal sizes for one dimension.
    inputs = {
        "token_ids": torch.zeros(3, 10, dtype=torch.int64),
        "lengths": torch.tensor([10, 7, 4]),
        "feature_index": torch.zeros(3, 10, dtype=torch.int64),
        "features": torch.zeros(6, decoder.width),
    }
    shapes = {
        "token_ids": {0: batch, 1: length},
        "lengths": {0: batch},
        "feature_index": {0: batch, 1: length},
        "features": {0: Dim("F")},
    }
    dynamic = tuple(shapes.values())
    _export(path, _TrunkGraph(model), inputs, dynamic, ("rewards", "acceptability"))


def _export(
    path: Path,
    graph: nn.Module,
    inputs: dict[str, Tensor],
    dynamic_shapes: tuple[Any, ...],
    outputs: Sequence[str],
) -> None:
    with _quiet_exporter():
        program = torch.onnx.export(
            graph.eval(),
            tuple(inputs.values()),
            dynamo=True,
            opset_version=_OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=dynamic_shapes,
            verbose=False,
        )
    assert program is not None
    program.save(path, external_data=False)


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Holds back what torch 2.13's exporter says of itself: nothing that concerns these graphs."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
            warnings.filterwarnings("ignore", r"# The axis name: \w+ will not be used", UserWarning)
            yield
    finally:
        logger.setLevel(level)
