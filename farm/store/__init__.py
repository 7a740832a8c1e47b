"""The ledger: SQLAlchemy Core over SQLite or PostgreSQL, migrated by Alembic."""

from farm.store.ledger import SqlLedger, open_ledger
from farm.store.refused import LedgerRefused
from farm.store.store import SqlStore, open_store

__all__ = ["LedgerRefused", "SqlLedger", "SqlStore", "open_ledger", "open_store"]
