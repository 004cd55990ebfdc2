"""What a pretraining run is made of; deploy/recipes/pretrain.toml holds the shipped one."""

import hashlib
import tomllib
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from models.config import AudioConfig, OmniConfig, VideoConfig
from services.common.world.families.exercise import Family
from services.common.world.sampling import DEFAULT_LEVEL

DEFAULT_MIXTURE: dict[Family, int] = {
    "caption": 8, "vqa": 8, "align": 8, "draw": 12, "speech": 6, "video": 4, "dialogue": 2,
    "transcribe": 4,
}  # fmt: skip


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TokenizerStage(_Section):
    vocab_size: int = Field(512, ge=300, description="bytes, specials and merges")
    items_per_family: int = Field(4000, ge=1, description="of each level, read as corpus")


class PictureCodesStage(_Section):
    """Training of the VQ image tokenizer."""

    steps: int = Field(1000, ge=1)
    batch_size: int = Field(24, ge=1)
    learning_rate: float = Field(3e-3, gt=0)
    level_weights: tuple[float, ...] = Field(
        (0.1, 0.45, 0.35, 0.1), description="chance of each level, from 1, of a picture"
    )
    commitment: float = Field(0.25, ge=0, description="weight of the commitment loss")
    revive_every: int = Field(50, ge=1, description="steps between revivals of unused codes")
    revive_until: float = Field(0.8, ge=0, le=1, description="share of the steps with revival")


class ModelStage(_Section):
    """Training of the unified model: warm-up, stable, decay."""

    items_per_step: dict[Family, int] = Field(DEFAULT_MIXTURE, description="of each family")
    joins_at: dict[Family, int] = Field(
        {}, description="step at which a family joins; the others are there from the first"
    )
    wrong_answers: float = Field(
        0.2, ge=0, le=1, description="share of decay's items with the answer to another scene"
    )
    blank_prompts: float = Field(
        0.1, ge=0, le=1, description="share of draws whose prompt is blanked, for guidance"
    )
    learning_rate: float = Field(1.5e-3, gt=0, description="AdamW: embeddings, heads, norms, stem")
    muon_learning_rate: float = Field(0.006, gt=0, description="Muon: matrices of the layers")
    max_grad_norm: float = Field(1.0, gt=0)
    warmup_steps: int = Field(200, ge=1)
    decay_steps: int = Field(3000, ge=1)
    max_stable_steps: int = Field(30_000, ge=0, description="decay starts here at the latest")
    max_stable_minutes: float = Field(48.0, gt=0, description="… or here, over all sessions")
    plateau_evaluations: int = Field(8, ge=1, description="… or after so many without progress")
    plateau_delta: float = Field(0.002, ge=0, description="share of the loss that is progress")


class ValidationStage(_Section):
    every: int = Field(500, ge=1, description="steps")
    loss_items: int = Field(96, ge=1, description="items per family for the loss")
    score_items: int = Field(64, ge=0, description="items per family sampled and checked")


class PretrainConfig(_Section):
    """All of it. Batches depend on the seed and the step alone."""

    seed: int = Field(0, ge=0)
    threads: int = Field(1, ge=1, description="intra-op threads of each process")
    processes: int = Field(1, ge=1, le=8, description="that share the work of each step")
    level: int = Field(DEFAULT_LEVEL, ge=1, description="level that is validated")
    level_weights: tuple[float, ...] = Field(
        (0.2, 0.65, 0.1, 0.05), description="chance of each level, from 1, of a training item"
    )
    family_levels: dict[Family, tuple[float, ...]] = Field(
        {}, description="the same for families that learn from easier or harder ones"
    )
    checkpoint_every: int = Field(500, ge=1, description="steps")
    model: OmniConfig = OmniConfig(audio=AudioConfig(), video=VideoConfig())
    tokenizer: TokenizerStage = TokenizerStage()
    picture_codes: PictureCodesStage = PictureCodesStage()
    training: ModelStage = ModelStage()
    validation: ValidationStage = ValidationStage()

    @classmethod
    def from_toml(cls, path: Path) -> Self:
        """Reads a recipe's `[pretrain]` table; an unknown or wrong field is a ValidationError."""
        return cls.model_validate(tomllib.loads(path.read_text()).get("pretrain", {}))

    def mixture(self, step: int) -> dict[Family, int]:
        """Items of each family at a step."""
        items, joins_at = self.training.items_per_step, self.training.joins_at
        return {family: n for family, n in items.items() if n and step >= joins_at.get(family, 0)}

    @property
    def digest(self) -> str:
        """Names the resolved recipe in training.json and in the state of a run.

        Threads and processes are left out: they change the last bits alone, and a run may move to
        a busier machine.
        """
        resolved = self.model_dump_json(exclude={"threads", "processes"})
        return hashlib.sha256(resolved.encode()).hexdigest()[:16]
