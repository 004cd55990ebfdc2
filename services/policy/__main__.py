"""`python -m services.policy`: serves until SIGTERM."""

import torch

from services.common.config import load_config
from services.common.server import run_service
from services.policy.config import PolicyConfig
from services.policy.service import open_servicers

if __name__ == "__main__":
    config = load_config(PolicyConfig, "policy")
    torch.set_num_threads(config.num_threads)
    run_service("policy", config, open_servicers(config))
