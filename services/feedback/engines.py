"""SQLAlchemy engines: SQLite in WAL mode with durable commits, or whatever a URL names."""

import sqlite3
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from services.common.errors import InvalidArgument

# Long enough for another process to commit a full batch.
_BUSY_TIMEOUT_MS = 10_000


def open_engine(url: str, *, writes: bool, pool_size: int = 1) -> Engine:
    """An engine for one writer, or for `pool_size` reading threads."""
    parsed = _parse(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_size=pool_size, max_overflow=0, pool_pre_ping=True)
    engine = create_engine(parsed, pool_size=pool_size, max_overflow=0)
    _configure_sqlite(engine, writes)
    return engine


def is_sqlite(url: str) -> bool:
    """Whether the database is a file of our own."""
    return _parse(url).get_backend_name() == "sqlite"


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        parsed.get_dialect().import_dbapi()
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, ValueError) as error:
        raise InvalidArgument(
            "database_url cannot be used; expected sqlite:////path/to/file or "
            f"postgresql+psycopg://user:password@host/database, its driver installed ({error})"
        ) from error
    if parsed.get_backend_name() == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise InvalidArgument(
                "database_url names a database in memory, which would not outlive the service; "
                "expected sqlite:////path/to/file"
            )
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    return parsed


def _configure_sqlite(engine: Engine, writes: bool) -> None:
    def on_connect(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        for pragma in (
            f"busy_timeout = {_BUSY_TIMEOUT_MS}",
            "journal_mode = WAL",
            "synchronous = FULL",  # a commit is on the disk before it is acknowledged
            "foreign_keys = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN DEFERRED")

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
