"""`python -m services.reward`: serves until SIGTERM."""

from services.common.config import load_config
from services.common.server import run_service
from services.reward.config import RewardConfig
from services.reward.service import open_servicers

if __name__ == "__main__":
    config = load_config(RewardConfig, "reward")
    run_service("reward", config, open_servicers(config))
