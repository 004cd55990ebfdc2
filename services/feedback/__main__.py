"""`python -m services.feedback` starts the service."""

from services.common.config import load_config
from services.common.server import run_service
from services.feedback.config import FeedbackConfig
from services.feedback.service import open_servicers


def main() -> None:
    """Entry point of the module."""
    config = load_config(FeedbackConfig, "feedback")
    run_service("feedback", config, open_servicers(config))


if __name__ == "__main__":
    main()
