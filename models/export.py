"""Exports a reward model as two ONNX graphs, which services/reward runs without torch.

vision.onnx  tiles float32 [N,3,S,S] in 0..1 → features [N,P,D]
trunk.onnx   token_ids, feature_index int64 [B,L], lengths int64 [B], features float32 [F,D]
             → rewards [B,K] (raw), acceptability [B] (logit)
`feature_index` 0 is none, i is row i-1 of `features`. B, L, N and F are dynamic.
Legend: B batch, L length, D width, K heads, N tiles, S tile side, P patches, F features.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from models.preprocessing.prompt import Preprocessor
from models.reward import RewardModel, write_description
from models.reward_config import TRUNK_GRAPH, VISION_GRAPH, Calibration

_OPSET = 20


def export_reward(
    folder: Path,
    model: RewardModel,
    preprocessor: Preprocessor,
    calibration: Calibration = Calibration(),
) -> None:
    """Writes vision.onnx, trunk.onnx, config.json and tokenizer.json: all that serving needs."""
    folder.mkdir(parents=True, exist_ok=True)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        _export_vision(folder / VISION_GRAPH, model)
        _export_trunk(folder / TRUNK_GRAPH, model)
    model.train(was_training)
    write_description(folder, model, preprocessor, calibration)


class _VisionGraph(nn.Module):
    def __init__(self, model: RewardModel) -> None:
        super().__init__()
        self.trunk = model.trunk

    def forward(self, tiles_N3SS: Tensor) -> Tensor:
        return self.trunk.encode_tiles(tiles_N3SS)


class _TrunkGraph(nn.Module):
    """`RewardModel.forward` with fusion by index: a graph cannot count placeholders."""

    def __init__(self, model: RewardModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, token_ids_BL: Tensor, lengths_B: Tensor, feature_index_BL: Tensor, features_FD: Tensor
    ) -> tuple[Tensor, Tensor]:
        text_BLD = self.model.trunk.language_model.embed_tokens(token_ids_BL)
        rows_FD = torch.cat([torch.zeros_like(features_FD[:1]), features_FD])
        hidden_BLD = torch.where(
            (feature_index_BL > 0)[..., None], rows_FD[feature_index_BL], text_BLD
        )
        return self.model.score_embedded(hidden_BLD, lengths_B)
