"""Alembic's entry point: migrates over the connection that schema.py passes in."""

from alembic import context
from sqlalchemy import Connection

from services.feedback.tables import Base

_connection: Connection = context.config.attributes["connection"]

context.configure(connection=_connection, target_metadata=Base.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
