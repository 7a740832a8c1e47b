"""All that is SQLite's own.

SQLite runs in WAL mode with `synchronous=FULL`: a commit that returned is on the disk, and
readers never wait for the writer. WAL needs shared memory, so the file has to be on a local disk.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Dialect, Engine, PoolProxiedConnection, QueuePool, StaticPool
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import make_url
from sqlalchemy.util import LRUCache

from farm.store.refused import LedgerMissing, LedgerRefused

APPLICATION_ID: Final = 0x48454C49
"""Written into the header of every ledger file ("HELI"), so that no other file is taken for one."""

BUSY_TIMEOUT_MS: Final = 30_000
"""How long a writer waits for another one, such as the coordinator that it replaces."""

CACHE_KIB: Final = 8_192
"""Pages kept by each connection; the operating system caches the rest."""

_URL: Final = make_url("sqlite://")

_COMPILED: Final[LRUCache[Any, Any]] = LRUCache(1_000)
"""Statements as they were compiled, for all engines of this process: to compile each of them anew
takes longer than a small ledger's whole life."""
_ENGINE: Final[Mapping[str, Any]] = {
    "execution_options": {"compiled_cache": _COMPILED},
    "hide_parameters": True,  # errors are logged, prompts are not
}

WAL_BYTES_MAX: Final = 64 << 20
"""A checkpoint cuts the log back to this size; a large batch makes it longer for a while."""


def check_path(text: str) -> Path:
    """The file that a ledger's name is. Raises `LedgerRefused` for memory."""
    if text in ("", ":memory:"):
        raise LedgerRefused("the ledger outlives its process: give it a file, not memory")
    return Path(text).absolute()


def writer_engine(path: Path, *, durable: bool = True) -> Engine:
    """Connections that write, to a file which is made when it is missing.

    Without `durable` a commit does not wait for the disk.
    """
    if not path.parent.is_dir():
        raise LedgerRefused(f"{path.parent} is no directory: make it first")
    new = not path.exists() or path.stat().st_size == 0
    if not new:
        _check_file(path)

    def connect() -> sqlite3.Connection:
        connection = _connect(path, "rwc")
        if connection.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'OFF'}")
        connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES_MAX}")
        return connection

    return _engine(connect, _dialect(_Writing))


def reader_engine(path: Path) -> Engine:
    """Connections that cannot write, to a ledger that is there. Raises `LedgerRefused`."""
    if not path.exists() or path.stat().st_size == 0:
        raise LedgerMissing(f"there is no ledger at {path}: start the farm that makes it")
    _check_file(path)

    def connect() -> sqlite3.Connection:
        connection = _connect(path, "ro")
        connection.execute("PRAGMA query_only=ON")
        return connection

    return _engine(connect, _dialect(_Reading))


def reading(engine: Engine) -> Engine:
    """A writer's connections, with transactions that only read."""
    return Engine(engine.pool, _dialect(_Reading), _URL, **_ENGINE)


@contextmanager
def snapshot(path: Path, beside: Path) -> Iterator[Connection]:
    """A copy of the ledger, made in one go by SQLite's own backup while others write.

    The copy is read, not the file: a reader that takes its time keeps the log from being cut.
    """
    with tempfile.TemporaryDirectory(prefix=".heliostat-", dir=beside) as directory:
        copy = Path(directory) / "copy.db"
        source, target = _connect(path, "ro"), sqlite3.connect(copy)
        try:
            source.backup(target)
        finally:
            source.close()
            target.close()
        engine = reader_engine(copy)
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()


class _Writing(SQLiteDialect_pysqlite):
    """Transactions take the write lock at once: the epoch that is read first stays true until the
    commit.

    This is no listener to the engine's events, for with one SQLAlchemy looks for listeners at
    every statement.
    """

    supports_statement_cache = True

    def do_begin(self, dbapi_connection: PoolProxiedConnection) -> None:
        """See `Dialect.do_begin`."""
        dbapi_connection.cursor().execute("BEGIN IMMEDIATE")


class _Reading(SQLiteDialect_pysqlite):
    """Transactions see one moment."""

    supports_statement_cache = True

    def do_begin(self, dbapi_connection: PoolProxiedConnection) -> None:
        """See `Dialect.do_begin`."""
        dbapi_connection.cursor().execute("BEGIN")


@cache
def _dialect(kind: type[SQLiteDialect_pysqlite]) -> SQLiteDialect_pysqlite:
    """One for all engines of a kind: what is compiled is kept for the dialect that it is for."""
    dialect = kind(dbapi=sqlite3)
    engine = Engine(StaticPool(partial(sqlite3.connect, ":memory:")), dialect, _URL)
    with engine.connect() as connection:
        dialect.initialize(connection)
    engine.dispose()
    return dialect


def _engine(connect: Callable[[], Any], dialect: Dialect) -> Engine:
    return Engine(QueuePool(connect, dialect=dialect), dialect, _URL, **_ENGINE)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    # No isolation level: transactions begin where `do_begin` says, not where the driver guesses.
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    return connection


def _check_file(path: Path) -> None:
    """Raise `LedgerRefused` for a file that is something else; it is not written to."""
    if not path.is_file():
        raise LedgerRefused(f"{path} is no file: name the ledger's file")
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        raise LedgerRefused(f"{path} cannot be read as a ledger: {error}") from error
    finally:
        connection.close()
    # A start that was killed before its first commit leaves a file without tables.
    if application != APPLICATION_ID and (application != 0 or tables != 0):
        raise LedgerRefused(f"{path} is another program's database: name another file")
