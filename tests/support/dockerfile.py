"""The Dockerfile by stages, and what the services' configurations can be told by environment."""

import io
import re
from dataclasses import dataclass, field
from pathlib import Path

from dockerfile_parse import DockerfileParser

from services.common.config import ServiceConfig
from services.feedback.config import FeedbackConfig
from services.gateway.config import GatewayConfig
from services.policy.config import PolicyConfig
from services.reward.config import RewardConfig
from services.trainer.config import TrainerConfig

ROOT = Path(__file__).resolve().parents[2]
CONFIGS: dict[str, type[ServiceConfig]] = {
    "policy": PolicyConfig,
    "reward": RewardConfig,
    "trainer": TrainerConfig,
    "feedback": FeedbackConfig,
    "gateway": GatewayConfig,
}
_STAGE = re.compile(r"(\S+) AS (\S+)")
_VARIABLE = re.compile(r"ATTUNE_([A-Z]+)_([A-Z_]+)")


@dataclass
class Stage:
    """One FROM and what follows: (instruction, value), in order."""

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def values(self, instruction: str) -> list[str]:
        return [value for name, value in self.steps if name == instruction]


def stages() -> dict[str, Stage]:
    """Every stage by its name."""
    parser = DockerfileParser(fileobj=io.BytesIO((ROOT / "Dockerfile").read_bytes()))
    found: dict[str, Stage] = {}
    current: Stage | None = None
    for step in parser.structure:
        if step["instruction"] == "FROM":
            match = _STAGE.fullmatch(step["value"])
            assert match, f"a stage without a name: {step['value']}"
            current = found.setdefault(match[2], Stage(match[1]))
        elif current is not None and step["instruction"] != "COMMENT":
            current.steps.append((step["instruction"], step["value"]))
    return found


def is_read(variable: str) -> bool:
    """Whether a service's configuration has a field for an environment variable."""
    match = _VARIABLE.fullmatch(variable)
    config = CONFIGS.get(match[1].lower()) if match else None
    return config is not None and match is not None and match[2].lower() in config.model_fields


def default_port(name: str) -> int:
    """Where a service listens if it is told nothing."""
    port: int = CONFIGS[name].model_fields["port"].default
    return port
