"""The sections that recipes are put together from. Each is frozen and refuses unknown fields."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.common.blending import BlendAggregation
from services.common.world.families.exercise import FAMILIES, Family
from services.common.world.sampling import DEFAULT_LEVEL, LEVELS
from services.trainer.algorithms.names import Aggregation, KlPlacement


class Section(BaseModel):
    """Base of all sections."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelChoice(Section):
    """An alias, or one version."""

    alias: str | None = None
    version: str | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.alias is None) == (self.version is None):
            raise ValueError("name either an alias or a version")
        return self


class UserScorerChoice(Section):
    """A function in a user's own file, run by the reward service in a process of its own."""

    file: Path
    function: str = "score"
    deadline_s: float | None = Field(None, gt=0, description="per item")


class BlendTermChoice(ModelChoice):
    """One term of a blend."""

    weight: float = 1.0


class BlendRuleChoice(Section):
    """How the terms' rewards, times their weights, become one."""

    aggregation: BlendAggregation = "sum"
    std_weight: float = Field(0.0, ge=0, description="of mean_minus_std: the cost of disagreement")


class RewardChoice(Section):
    """Who scores: exactly one of these. The version is pinned when the run starts."""

    alias: str | None = None
    version: str | None = Field(None, description='a reward version, or "program/world"')
    user_scorer: UserScorerChoice | None = None
    blend: tuple[BlendTermChoice, ...] | None = None
    blend_rule: BlendRuleChoice | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        choices = (self.alias, self.version, self.user_scorer, self.blend)
        if sum(choice is not None for choice in choices) != 1:
            raise ValueError("name exactly one of alias, version, user_scorer, blend")
        if self.blend_rule is not None and self.blend is None:
            raise ValueError("blend_rule is for a blend; name its terms in `blend`")
        return self


class WorldData(Section):
    """The default world; name a family twice to double its share."""

    source: Literal["world"]
    families: tuple[Family, ...] = Field(FAMILIES, min_length=1)
    level: int = Field(DEFAULT_LEVEL, ge=min(LEVELS), le=max(LEVELS))
    split: Literal["train"] = "train"


class JsonlData(Section):
    """A user's file (see services/common/dataset.py)."""

    source: Literal["jsonl"]
    path: Path
    split: Literal["train"] = "train"


class SnapshotData(Section):
    """Judgements frozen by the feedback service."""

    source: Literal["feedback"]
    snapshot_id: str = Field(min_length=1)


DataSection = Annotated[WorldData | JsonlData, Field(discriminator="source")]


class SamplingSection(Section):
    """How answers are sampled; the defaults keep the whole distribution (DESIGN law 4)."""

    temperature: float = Field(1.0, gt=0, le=10)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0, description="0 is off")
    guidance_scale: float = Field(1.0, ge=0, description="1 is off, and all that RL takes")
    max_tokens: int = Field(64, ge=1, description="of a text answer; a picture is always whole")


class RolloutSection(Section):
    """What the policy service is asked for in each step."""

    prompts_per_step: int = Field(32, ge=1)
    samples_per_prompt: int = Field(8, ge=2)
    sampling: SamplingSection = SamplingSection()
    deterministic: bool = True


class KlSection(Section):
    """Distance kept from the initial policy, by the place where it acts (algorithms/kl.py)."""

    placement: KlPlacement = "none"
    coefficient: float = Field(0.0, ge=0)
    measure_every: int = Field(10, ge=0, description="steps between measurements; 0 is never")

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.placement == "none") != (self.coefficient == 0):
            raise ValueError(
                f"placement {self.placement!r} with coefficient {self.coefficient}: a placement"
                " needs a positive coefficient, and none takes 0"
            )
        return self


class _UpdateFields(Section):
    """How a batch of rollouts is turned into optimiser updates."""

    epochs_per_step: int = Field(1, ge=1)
    minibatches: int = Field(1, ge=1, description="optimiser updates per epoch")
    old_logprobs: Literal["learner", "sampler"] = Field(
        "learner", description="π_old: recomputed by the trainer, or as the sampler reported"
    )
    importance_cap: float | None = Field(
        None, gt=0, description="C of truncated importance sampling, π_old/μ"
    )
    kl: KlSection = KlSection()

    @model_validator(mode="after")
    def _truncation_needs_two_policies(self) -> Self:
        if self.importance_cap is not None and self.old_logprobs == "sampler":
            raise ValueError('importance_cap corrects π_old/μ, so old_logprobs must be "learner"')
        return self


class _ClipFields(_UpdateFields):
    clip_low: float = Field(0.2, gt=0, lt=1)
    clip_high: float = Field(0.28, gt=0)


class GrpoSection(_ClipFields):
    """GRPO; with `divide_by_std = false` Dr. GRPO."""

    name: Literal["grpo"]
    divide_by_std: bool = True
    aggregation: Aggregation = "token_mean"


class RlooSection(_UpdateFields):
    """RLOO: an unclipped policy gradient against a leave-one-out baseline."""

    name: Literal["rloo"]
    aggregation: Aggregation = "sequence_sum"


class PpoSection(_ClipFields):
    """PPO with the model's value head as critic."""

    name: Literal["ppo"]
    gamma: float = Field(1.0, gt=0, le=1)
    lam: float = Field(0.95, ge=0, le=1)
    whiten: bool = True
    value_coefficient: float = Field(0.5, ge=0)
    value_clip: float | None = Field(0.2, gt=0)
    aggregation: Aggregation = "token_mean"


AlgorithmSection = Annotated[GrpoSection | RlooSection | PpoSection, Field(discriminator="name")]


class OptimizerSection(Section):
    """AdamW; the rate warms up linearly, then stays or decays linearly to zero at the last step."""

    learning_rate: float = Field(3e-4, gt=0)
    betas: tuple[float, float] = (0.9, 0.99)
    eps: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    warmup_steps: int = Field(0, ge=0)
    decay: Literal["constant", "linear"] = "constant"
    freeze_encoders: bool = Field(False, description="keep the encoders of media as they are")
    tokens_per_microbatch: int = Field(2048, ge=1, description="padded; bounds memory")


class PublishSection(Section):
    """Where the result is announced, besides run/ID."""

    alias: str | None = Field(None, min_length=1)


class ShowSection(Section):
    """Samples written to the run's events for people to look at."""

    every: int = Field(5, ge=1, description="steps")
    samples: int = Field(4, ge=0)


class HeldoutSection(Section):
    """Held-out items that the policy answers as it learns; measured, never trained on."""

    every: int = Field(25, ge=1, description="steps; also after the first and the last")
    items: int = Field(100, ge=1, description="over all families, one answer each")
    scorer: str = Field("program/world", description="the reward version that measures")


class RewardShape(Section):
    """The reward model's form (models/reward_config.py)."""

    attention: Literal["causal", "bidirectional"] = "causal"
    pooling: Literal["last", "mean"] = "last"
    num_heads: int = Field(1, ge=1)


class PairLossSection(Section):
    """Davidson likelihood with nuisances that are fitted and then dropped."""

    side_bias: bool = Field(True, description="a constant for the answer shown on the left")
    length_nuisance: bool = Field(False, description="a slope on the difference of lengths")
    acceptability_coefficient: float = Field(0.5, ge=0)
    centering_coefficient: float = Field(0.01, ge=0, description="pulls mean rewards to zero")


class HoldoutSection(Section):
    """Items kept from training to measure pair accuracy and to stop early."""

    share: float = Field(0.15, gt=0, lt=1, description="of the group keys")
    every: int = Field(20, ge=1, description="steps between evaluations")
    patience: int = Field(5, ge=1, description="evaluations without progress before stopping")
