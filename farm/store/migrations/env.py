"""How Alembic runs here: over the connection that `farm.store.schema.upgrade` hands in."""

from __future__ import annotations

from alembic import context

from farm.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
