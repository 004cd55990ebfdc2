"""What a reward model is, as its config.json says it. No torch: the reward service reads it too.

Written by models/reward.py and models/export.py; read by services/reward.
"""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.config import OmniConfig
from models.preprocessing.preprocessor_config import PreprocessorConfig

VISION_GRAPH, AUDIO_GRAPH, VIDEO_GRAPH = "vision.onnx", "audio.onnx", "video.onnx"
TRUNK_GRAPH = "trunk.onnx"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RewardConfig(_Section):
    """How the trunk's output becomes rewards."""

    attention: Literal["causal", "bidirectional"] = "causal"
    pooling: Literal["last", "mean"] = Field("last", description="last token, or mean of all")
    num_heads: int = Field(1, ge=1, description="K; their mean is the reward, their spread its std")


class Calibration(_Section):
    """Mean and standard deviation of the raw reward on held-out answers; (raw - mean) / std."""

    mean: float = Field(0.0, allow_inf_nan=False)
    std: float = Field(1.0, gt=0, allow_inf_nan=False)


class RewardFile(_Section):
    """The content of a reward model's config.json."""

    model: OmniConfig
    preprocessor: PreprocessorConfig
    reward: RewardConfig
    calibration: Calibration = Calibration()
    comparability: Literal["within_prompt", "global"] = "within_prompt"
    fingerprint: str = Field(description="of the preprocessing; another one is refused")


def read_reward_file(path: Path) -> RewardFile:
    """Raises ValueError that names what is wrong with the file."""
    try:
        return RewardFile.model_validate(json.loads(path.read_text()))
    except (ValidationError, ValueError, OSError) as error:
        raise ValueError(f"{path} does not describe a reward model: {error}") from error
