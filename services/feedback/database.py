"""The database off the event loop: one thread that writes, a few that read."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.orm import Session

from services.common.errors import Unavailable
from services.feedback import schema
from services.feedback.config import FeedbackConfig
from services.feedback.engines import is_sqlite, open_engine
from services.feedback.event_log import EventLog, exclude_other_writers
from services.feedback.lanes import Lane
from services.feedback.metrics import FeedbackMetrics

T = TypeVar("T")


class Database:
    """Runs pieces of work in transactions of their own. Close it after use."""

    def __init__(self, config: FeedbackConfig, metrics: FeedbackMetrics) -> None:
        url = config.resolved_database_url
        self._metrics = metrics
        self._writer = open_engine(url, writes=True)
        self._reader = open_engine(url, writes=False, pool_size=config.readers)
        with ExitStack() as on_failure:
            on_failure.callback(self._dispose)
            self._prepare(config.migrate, is_sqlite(url))
            on_failure.pop_all()
        self._write_lane = Lane("write", 1, config.max_pending)
        self._read_lane = Lane("read", config.readers, config.max_pending)
        metrics.watch_lane("write", self._write_lane.pending)
        metrics.watch_lane("read", self._read_lane.pending)

    async def write(self, work: Callable[[EventLog], T]) -> T:
        """Runs `work` in a transaction that no other writer shares; returns after the commit."""
        return await self._write_lane.run(lambda: self._write(work))

    async def read(self, work: Callable[[Session], T]) -> T:
        """Runs `work` over one consistent view of what is committed."""
        return await self._read_lane.run(lambda: self._read(work))

    def close(self) -> None:
        """Waits for work in progress, then closes the connections."""
        self._write_lane.close()
        self._read_lane.close()
        self._dispose()

    def _dispose(self) -> None:
        self._reader.dispose()
        self._writer.dispose()

    def _prepare(self, migrate: str, ours: bool) -> None:
        try:
            if migrate == "always" or (migrate == "auto" and ours):
                schema.upgrade(self._writer)
            else:
                schema.require_current(self._writer)
                schema.remake_outdated_projections(self._writer)
        except DatabaseError as error:  # also a file that is no database
            raise _translated(error) from error

    def _write(self, work: Callable[[EventLog], T]) -> T:
        start_s = time.monotonic()
        try:
            with Session(self._writer) as session, session.begin():
                exclude_other_writers(session)
                log = EventLog(session, time.time())
                result = work(log)
        except OperationalError as error:
            raise _translated(error) from error
        finally:
            self._metrics.db_seconds.labels("write").observe(time.monotonic() - start_s)
        self._metrics.count_events(log.appended)
        return result

    def _read(self, work: Callable[[Session], T]) -> T:
        start_s = time.monotonic()
        try:
            with Session(self._reader) as session:
                return work(session)
        except OperationalError as error:
            raise _translated(error) from error
        finally:
            self._metrics.db_seconds.labels("read").observe(time.monotonic() - start_s)


def _translated(error: DatabaseError) -> Unavailable:
    return Unavailable(f"the database cannot be used now: {error.orig}")
