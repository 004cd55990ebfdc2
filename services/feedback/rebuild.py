"""`python -m services.feedback.rebuild`: remakes all projections from the events.

Takes the service's own options. Readers see the old tables until it is done; writers wait.
"""

from sqlalchemy.orm import Session

from services.common.config import load_config
from services.common.logs import configure_logs, get_logger
from services.feedback import projections, schema
from services.feedback.config import FeedbackConfig
from services.feedback.engines import open_engine


def rebuild(config: FeedbackConfig) -> int:
    """Remakes the projections in one transaction; returns the number of events."""
    writer = open_engine(config.resolved_database_url, writes=True)
    try:
        schema.upgrade(writer)
        with Session(writer) as session, session.begin():
            return projections.rebuild(session)
    finally:
        writer.dispose()


def main() -> None:
    """Entry point of the module."""
    config = load_config(FeedbackConfig, "feedback")
    configure_logs("feedback", config.log_level, config.log_format)
    get_logger(__name__).info("projections rebuilt", events=rebuild(config))


if __name__ == "__main__":
    main()
