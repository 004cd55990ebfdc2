"""Brings the schema up to date with Alembic's migrations, and the projections with the code."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from services.common.errors import FailedPrecondition
from services.common.logs import get_logger
from services.feedback import projections

_MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(writer: Engine, revision: str = "head") -> None:
    """Migrates in one transaction, then remakes projections that another layout made."""
    with writer.begin() as connection:
        command.upgrade(_config(connection), revision)
    if revision == "head":
        remake_outdated_projections(writer)


def downgrade(writer: Engine, revision: str) -> None:
    """Goes back to an earlier revision; events are kept as long as their table is."""
    with writer.begin() as connection:
        command.downgrade(_config(connection), revision)


def require_current(writer: Engine) -> None:
    """Raises FailedPrecondition if the database is not at the revision of this code."""
    expected = ScriptDirectory.from_config(_config()).get_current_head()
    with writer.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found != expected:
        raise FailedPrecondition(
            f"the database is at schema revision {found}, this version needs {expected}; start "
            "once with --migrate always"
        )


def remake_outdated_projections(writer: Engine) -> None:
    """Rebuilds the projections if other code made them."""
    with Session(writer) as session, session.begin():
        if not projections.is_current(session):
            events = projections.rebuild(session)
            get_logger(__name__).info("projections rebuilt", events=events)


def _config(connection: object = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
