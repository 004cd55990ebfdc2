"""What the gateway can be told."""

from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.common.config import ServiceConfig


class GatewayConfig(ServiceConfig):
    """Where the services are, and the limits that a request must keep."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", cli_kebab_case=True, env_prefix="ATTUNE_GATEWAY_"
    )

    port: int = Field(8000, ge=0, le=65535, description="HTTP port; 0 takes a free one")
    policy_address: str = Field("127.0.0.1:7001", description="of the policy service")
    reward_address: str = Field("127.0.0.1:7002", description="of the reward service")
    trainer_address: str = Field("127.0.0.1:7003", description="of the trainer service")
    feedback_address: str = Field("127.0.0.1:7004", description="of the feedback service")

    max_body_mib: int = Field(32, ge=1, le=1024, description="largest request body")
    max_image_mib: int = Field(8, ge=1, le=64, description="largest picture, encoded")
    max_audio_mib: int = Field(16, ge=1, le=64, description="largest recording, encoded")
    max_video_mib: int = Field(16, ge=1, le=64, description="largest clip, encoded")
    max_parts: int = Field(64, ge=1, description="most parts of one conversation")
    max_text_chars: int = Field(1_000_000, ge=1, description="most characters of one conversation")
    reward_model: str = Field(
        "stable", description="reward alias or version that /reward asks where none is named"
    )
    max_scores: int = Field(4096, ge=1, description="most items of one request below /reward")
    max_n: int = Field(16, ge=1, le=64, description="most samples of one request")
    max_total_tokens: int = Field(32_768, ge=1, description="most n × max_completion_tokens")

    request_timeout_s: float = Field(120.0, gt=0, description="deadline where none is asked for")
    max_request_timeout_s: float = Field(600.0, gt=0, description="longest deadline to ask for")
    ready_requires: tuple[Literal["policy", "reward", "trainer", "feedback"], ...] = Field(
        ("policy",), description="services without which /health/ready answers 503"
    )
    health_timeout_s: float = Field(1.0, gt=0, description="deadline of a health check")
    feedback_wait_s: float = Field(
        3.0, ge=0, description="how long feedback waits for its completion to be recorded"
    )
