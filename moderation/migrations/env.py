"""Alembic's environment: runs the versions on the connection that `db.migrate` hands over, in its transaction."""

from __future__ import annotations

from alembic import context

from moderation.database_tables import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=False)
with context.begin_transaction():
    context.run_migrations()
