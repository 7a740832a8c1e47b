"""The ledger on disk: SQLAlchemy Core over SQLite or PostgreSQL, migrated by Alembic."""
