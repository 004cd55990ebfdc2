"""Migrations up and down on data, rebuilt projections, and what a start refuses."""

import sqlite3

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from prometheus_client import CollectorRegistry
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from protos.v1 import feedback_log_pb2 as pb
from services.common.errors import FailedPrecondition, InvalidArgument
from services.feedback import projections, schema
from services.feedback.config import FeedbackConfig
from services.feedback.database import Database
from services.feedback.engines import open_engine
from services.feedback.metrics import FeedbackMetrics
from services.feedback.rebuild import rebuild
from services.feedback.tables import PROJECTIONS, Base, EventRow, ItemRow, ProjectionStateRow
from tests.unit.feedback.records import (
    answer,
    item,
    judgement,
    picture,
    png,
    serving,
    submit,
    trajectory,
)


@pytest.fixture
async def config(tmp_path) -> FeedbackConfig:
    """A stopped service's state, with every type of event in it."""
    async with serving(tmp_path) as served:
        stub = served.stub
        await stub.PutItems(pb.PutItemsRequest(items=[item("i", picture(png(1))), item("j")]))
        await submit(stub, judgement("1"), judgement("2", "j"))
        await stub.LogTrajectories(pb.LogTrajectoriesRequest(trajectories=[trajectory("t")]))
        edit = {"candidate_id": "t/0", "edited": answer(picture(png(5)))}
        await submit(stub, judgement("3", "t", edit=edit), judgement("4", "j", skip={}))
        await stub.CreateSnapshot(pb.CreateSnapshotRequest(name="s", query={"project": "demo"}))
        return served.config


@pytest.fixture
def writer(config):
    engine = open_engine(config.resolved_database_url, writes=True)
    yield engine
    engine.dispose()


def dump(writer, tables=(*PROJECTIONS, ProjectionStateRow)) -> dict[str, list[tuple]]:
    """The content of tables, ordered by their keys."""
    with Session(writer) as session:
        return {
            t.__tablename__: [
                tuple(row)
                for row in session.execute(
                    select(*t.__table__.c).order_by(*t.__table__.primary_key)
                )
            ]
            for t in tables
        }


def test_a_rebuild_gives_the_same_tables(config, writer):
    before = dump(writer)
    assert all(before.values()), "every projection should have rows to compare"
    with Session(writer) as session, session.begin():
        for table in reversed(PROJECTIONS):
            session.execute(delete(table))
    assert not any(dump(writer, PROJECTIONS).values())
    events = len(dump(writer, [EventRow])["event"])
    assert rebuild(config) == events
    assert dump(writer) == before


def test_a_rebuild_works_in_batches(config, writer, monkeypatch):
    before = dump(writer)
    monkeypatch.setattr(projections, "_REBUILD_BATCH", 2)
    rebuild(config)
    assert dump(writer) == before


def test_migrations_down_and_up_keep_events_and_projections(writer):
    events, before = dump(writer, [EventRow]), dump(writer)
    schema.downgrade(writer, "0001")
    assert dump(writer, [EventRow]) == events
    schema.upgrade(writer)
    assert dump(writer, [EventRow]) == events
    assert dump(writer) == before
    schema.downgrade(writer, "base")
    with writer.connect() as connection:
        tables = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")
        assert tables.all() == [("alembic_version",)]


def test_migrations_make_what_the_code_declares(writer):
    with writer.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    assert differences == []


def test_projections_of_an_older_layout_are_remade_at_the_start(config, writer):
    before = dump(writer)
    with Session(writer) as session, session.begin():
        session.merge(ProjectionStateRow(id=1, layout=projections.LAYOUT - 1))
        session.get(ItemRow, "i").project = "as older code had it"
    Database(config, FeedbackMetrics(CollectorRegistry())).close()
    assert dump(writer) == before


@pytest.mark.parametrize("change", ["UPDATE event SET at_s = 0", "DELETE FROM event"])
def test_events_cannot_be_changed(config, change):
    database = sqlite3.connect(config.folder / "feedback.db")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        database.execute(change)
    database.close()


def test_events_are_numbered_without_gaps(writer):
    rows = dump(writer, [EventRow])["event"]
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))


def test_commits_are_durable(config, writer):
    with writer.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_an_outdated_schema_is_refused_where_it_must_not_be_migrated(config, writer):
    schema.downgrade(writer, "0001")
    never = config.model_copy(update={"migrate": "never"})
    with pytest.raises(FailedPrecondition, match="at schema revision 0001, this version needs"):
        Database(never, FeedbackMetrics(CollectorRegistry()))
    Database(config, FeedbackMetrics(CollectorRegistry())).close()
    Database(never, FeedbackMetrics(CollectorRegistry())).close()


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "sqlite://",
        "sqlite:///:memory:",
        "nosuch://h/d",
        "postgresql://h:port/d",
        "mysql+mysqldb://h/d",
    ],
)
def test_a_database_url_that_cannot_be_used_is_explained(url):
    with pytest.raises(InvalidArgument, match=r"expected sqlite:////path/to/file"):
        open_engine(url, writes=True)


def test_the_password_of_a_database_url_is_not_shown(tmp_path):
    config = FeedbackConfig(home=tmp_path, database_url="postgresql://user:secret@host/db")
    assert "secret" not in repr(config) + config.model_dump_json()
    assert "secret" in config.resolved_database_url


def test_answers_must_fit_messages(tmp_path):
    with pytest.raises(ValueError, match=r"max_inline_mib \(64\) must be less than"):
        FeedbackConfig(home=tmp_path, max_inline_mib=64)
