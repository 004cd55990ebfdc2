"""What the trainer service can be told."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.common.config import ServiceConfig
from services.trainer.run_folder import LaunchSettings


class TrainerConfig(ServiceConfig):
    """Read from `[trainer]`, ATTUNE_TRAINER_* and the command line."""

    model_config = SettingsConfigDict(env_prefix="ATTUNE_TRAINER_")

    port: int = Field(7003, ge=0, le=65535, description="gRPC port; 0 takes a free one")
    metrics_port: int = Field(7103, ge=0, le=65535, description="Prometheus port; 0: a free one")
    policy_address: str = Field("127.0.0.1:7001", description="policy service")
    reward_address: str = Field("127.0.0.1:7002", description="reward service")
    feedback_address: str = Field("127.0.0.1:7004", description="feedback service")
    max_running: int = Field(1, ge=1, description="runs at one time")
    max_queued: int = Field(8, ge=0, description="runs that wait; more are refused")
    patience_s: float = Field(120.0, ge=0, description="a run waits so long for a service")
    call_timeout_s: float = Field(300.0, gt=0, description="deadline of each call a run makes")

    @property
    def launch_settings(self) -> LaunchSettings:
        """What a worker is told."""
        return LaunchSettings(
            home=self.home.absolute(),
            policy_address=self.policy_address,
            reward_address=self.reward_address,
            feedback_address=self.feedback_address,
            threads=self.num_threads,
            patience_s=self.patience_s,
            call_timeout_s=self.call_timeout_s,
        )
