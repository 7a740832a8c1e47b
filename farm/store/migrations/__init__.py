"""Alembic migrations; `farm.store.schema` runs them."""
