"""Run by alembic for each command: use the connection handed in."""

from __future__ import annotations

from alembic import context

from livemig.db import models

connection = context.config.attributes['connection']
context.configure(
    connection=connection,
    target_metadata=models.METADATA,
    # SQLite changes a table by copying it.
    render_as_batch=connection.dialect.name == 'sqlite',
)
with context.begin_transaction():
    context.run_migrations()
