"""The reward model: a policy's trunk, read at the last token or on average by K reward heads.

Trained by the trainer's `reward` stage, exported by models/export.py. Heads are drawn as in
Stiennon et al. 2020: std 1/sqrt(D+1). The acceptability head anchors what pairs leave free.
Legend: B batch, L length, D width, K heads, F features.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.attention import Attention, DenseAttention
from models.checkpoint import CONFIG, TOKENIZER, WEIGHTS, load_tensors, read_config
from models.checkpoint_error import CheckpointError
from models.omni import OmniModel
from models.preprocessing.prompt import Preprocessor
from models.reward_config import Calibration, RewardConfig, RewardFile, read_reward_file


class RewardModel(nn.Module):
    """Scores whole sequences, prompt and answer. Fresh heads are drawn from `seed`."""

    def __init__(self, trunk: OmniModel, config: RewardConfig, seed: int = 0) -> None:
        super().__init__()
        self.trunk = trunk
        self.config = config
        width = trunk.config.decoder.width
        self.reward_heads = nn.Linear(width, config.num_heads)
        self.acceptability_head = nn.Linear(width, 1)
        generator = torch.Generator().manual_seed(seed)
        for head in (self.reward_heads, self.acceptability_head):
            nn.init.normal_(head.weight, std=1 / math.sqrt(width + 1), generator=generator)
            nn.init.zeros_(head.bias)

    def forward(
        self, token_ids_BL: Tensor, lengths_B: Tensor, features_FD: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """rewards_BK (raw) and acceptability_B (a logit) of sequences padded on the right.

        `features_FD` are flattened patches in order of appearance, as `OmniModel.embed` takes them.
        """
        hidden_BLD = self.trunk.embed(token_ids_BL, features_FD)
        attention = DenseAttention(lengths_B, causal=self.config.attention == "causal")
        return self.score_embedded(hidden_BLD, lengths_B, attention)

    def score_embedded(
        self, hidden_BLD: Tensor, lengths_B: Tensor, attention: Attention
    ) -> tuple[Tensor, Tensor]:
        """The same from embeddings in which media have been fused."""
        positions_BL = torch.arange(hidden_BLD.shape[1], device=hidden_BLD.device)[None]
        pooled_BD = self._pool(self.trunk.decode(hidden_BLD, positions_BL, attention), lengths_B)
        return self.reward_heads(pooled_BD), self.acceptability_head(pooled_BD).squeeze(-1)

    def _pool(self, hidden_BLD: Tensor, lengths_B: Tensor) -> Tensor:
        if self.config.pooling == "last":
            last_B1D = (lengths_B - 1)[:, None, None].expand(-1, 1, hidden_BLD.shape[2])
            return hidden_BLD.gather(1, last_B1D).squeeze(1)
        positions_L = torch.arange(hidden_BLD.shape[1], device=hidden_BLD.device)
        is_token_BL1 = (positions_L < lengths_B[:, None])[..., None].to(hidden_BLD.dtype)
        return (hidden_BLD * is_token_BL1).sum(1) / lengths_B[:, None].to(hidden_BLD.dtype)


@dataclass(frozen=True, slots=True)
class RewardCheckpoint:
    """A reward model, its preprocessing, and how its raw scores are calibrated."""

    model: RewardModel
    preprocessor: Preprocessor
    calibration: Calibration


def save_reward(
    folder: Path,
    model: RewardModel,
    preprocessor: Preprocessor,
    calibration: Calibration = Calibration(),
) -> None:
    """Writes model.safetensors, config.json and tokenizer.json, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: t.detach().contiguous() for name, t in model.state_dict().items()}
    partial = folder / f"{WEIGHTS}.partial"
    save_file(tensors, partial, metadata={"format": "pt"})
    os.replace(partial, folder / WEIGHTS)
    write_description(folder, model, preprocessor, calibration)


def load_reward(folder: Path) -> RewardCheckpoint:
    """Reads and checks what `save_reward` wrote; float32, CPU, in eval mode."""
    missing = [name for name in (WEIGHTS, CONFIG, TOKENIZER) if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(f"{folder} lacks {', '.join(missing)}")
    try:
        described = read_reward_file(folder / CONFIG)
        tensors = load_file(folder / WEIGHTS)
    except (ValueError, SafetensorError, OSError) as error:
        raise CheckpointError(f"reward model in {folder} cannot be read: {error}") from error
    config, preprocessor = read_config(folder)
    with torch.random.fork_rng(devices=[]):
        model = RewardModel(OmniModel(config), described.reward)
    load_tensors(model, tensors)
    return RewardCheckpoint(model.eval(), preprocessor, described.calibration)


def write_description(
    folder: Path, model: RewardModel, preprocessor: Preprocessor, calibration: Calibration
) -> None:
    """config.json and tokenizer.json, the same beside weights and beside ONNX graphs."""
    described = RewardFile(
        model=model.trunk.config,
        preprocessor=preprocessor.config,
        reward=model.config,
        calibration=calibration,
        fingerprint=preprocessor.fingerprint,
    )
    for name, text in (
        (CONFIG, described.model_dump_json(indent=1) + "\n"),
        (TOKENIZER, preprocessor.tokenizer.to_json()),
    ):
        partial = folder / f"{name}.partial"
        partial.write_text(text)
        os.replace(partial, folder / name)
