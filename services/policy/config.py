"""What the policy service can be told."""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

import models
from services.common.config import DecodingConfig
from services.policy.engine.limits import EngineLimits
from services.policy.engine.native.packed import Precision
from services.policy.engine.placement import (
    CpuPrecision,
    CudaPrecision,
    Device,
    Placement,
    resolve_device,
)


class PolicyConfig(DecodingConfig):
    """Read from `[policy]`, ATTUNE_POLICY_* and the command line."""

    model_config = SettingsConfigDict(env_prefix="ATTUNE_POLICY_")

    port: int = Field(7001, ge=0, le=65535, description="gRPC port; 0 takes a free one")
    metrics_port: int = Field(7101, ge=0, le=65535, description="Prometheus port; 0: a free one")
    base_checkpoint: Path = Field(
        Path(models.__file__).parent / "base",
        description="put into an empty version store as the aliases stable and base",
    )

    device: Device = Field("auto", description="auto takes CUDA where torch and Triton can")
    cpu_precision: CpuPrecision = Field(
        "float32", description="of weights on CPU; a lower one is refused where it changes a model"
    )
    cuda_precision: CudaPrecision = Field("bfloat16", description="of weights and cache on CUDA")
    max_rows: int = Field(256, ge=1, description="rows of a batch; a guided sample takes two")
    reserved_rows: int = Field(32, ge=0, description="further rows for interactive requests")
    max_prefill_tokens: int = Field(512, ge=1, description="prompt tokens computed in one step")
    cache_mib: int = Field(1024, ge=1, description="keys and values, of versions of one shape")
    prefix_cache_mib: int = Field(256, ge=0, description="of them, kept to be found again")
    feature_cache_mib: int = Field(64, ge=0, description="encoded media, kept by content")
    max_waiting_samples: int = Field(8192, ge=1, description="bound of the queue")

    kept_retired: int = Field(1, ge=0, description="idle versions kept that no alias names")
    max_resident: int = Field(8, ge=1, description="versions kept; idle ones beyond are freed")
    prepared_ttl_s: float = Field(300, gt=0, description="a prepared version is kept so long")
    max_upload_mib: int = Field(4096, ge=1, description="largest version that may be streamed")
    shared_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        (),
        description=f"folders besides home that weights may be read from; {os.pathsep!r} between",
    )

    default_max_tokens: int = Field(256, ge=1, description="where a request names none")
    max_samples: int = Field(64, ge=1, description="samples of one prompt")
    max_group_tokens: int = Field(65_536, ge=1, description="samples × max_tokens of one prompt")
    max_rollout_samples: int = Field(4096, ge=1, description="samples of one Rollout")
    max_parts: int = Field(256, ge=1, description="parts of one prompt")
    max_text_chars: int = Field(1_000_000, ge=1, description="characters of one prompt")
    max_media_mib: int = Field(32, ge=1, description="media bytes of one prompt")
    max_request_s: float = Field(600, gt=0, description="deadline of calls that bring none")
    media_cache_mib: int = Field(64, ge=0, description="media that requests may name by hash")

    feedback_address: str = Field("", description="where trajectories go; empty keeps them spooled")
    spool_max_files: int = Field(10_000, ge=1, description="trajectories kept; the oldest are lost")
    spool_max_mib: int = Field(512, ge=1, description="the same, by size")

    @field_validator("device")
    @classmethod
    def _resolve_device(cls, wanted: Device) -> Device:
        """Here, so that what is logged at start says where versions run."""
        return resolve_device(wanted)

    @field_validator("shared_roots", mode="before")
    @classmethod
    def _split_roots(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        # A flag that is given twice arrives joined by a comma.
        return [part for part in value.replace(",", os.pathsep).split(os.pathsep) if part]

    @property
    def placement(self) -> Placement:
        """Where versions run."""
        if self.device != "cuda":
            return Placement(precision=Precision[self.cpu_precision.upper()])
        return Placement("cuda", Precision[self.cuda_precision.upper()])

    @property
    def engine_limits(self) -> EngineLimits:
        """The part of this that the engine needs."""
        return EngineLimits(
            max_rows=self.max_rows,
            reserved_rows=self.reserved_rows,
            max_prefill_tokens=self.max_prefill_tokens,
            max_waiting_samples=self.max_waiting_samples,
            cache_bytes=self.cache_mib << 20,
            prefix_cache_bytes=self.prefix_cache_mib << 20,
            feature_cache_bytes=self.feature_cache_mib << 20,
        )
