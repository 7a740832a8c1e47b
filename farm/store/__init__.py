"""The ledger: SQLAlchemy Core over SQLite or PostgreSQL, migrated by Alembic."""

from farm.store.backup import backup
from farm.store.backup_file import BackupRefused
from farm.store.ledger import SqlLedger, open_ledger
from farm.store.refused import LedgerRefused
from farm.store.restore import restore
from farm.store.store import SqlStore, open_store

__all__ = [
    "BackupRefused",
    "LedgerRefused",
    "SqlLedger",
    "SqlStore",
    "backup",
    "open_ledger",
    "open_store",
    "restore",
]
