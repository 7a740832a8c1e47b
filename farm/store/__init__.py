"""The ledger on disk: SQLAlchemy Core over SQLite, migrated by Alembic.

Only SQLite is offered; everything outside `engine.py` is written for PostgreSQL too.
"""

from farm.store.engine import LedgerRefused
from farm.store.ledger import SqlLedger, open_ledger
from farm.store.store import SqlStore, open_store

__all__ = ["LedgerRefused", "SqlLedger", "SqlStore", "open_ledger", "open_store"]
