"""`python -m services.trainer`: the training orchestrator."""

from services.common.config import load_config
from services.common.server import run_service
from services.trainer.config import TrainerConfig
from services.trainer.service import open_servicers


def main() -> None:
    """Serves until SIGTERM."""
    config = load_config(TrainerConfig, "trainer")
    run_service("trainer", config, open_servicers(config))


if __name__ == "__main__":
    main()
