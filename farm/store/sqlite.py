"""All that is SQLite's own.

SQLite runs in WAL mode with `synchronous=FULL`: a commit that returned is on the disk, and
readers never wait for the writer. WAL needs shared memory, so the file has to be on a local disk.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event

from farm.store.refused import LedgerMissing, LedgerRefused

APPLICATION_ID: Final = 0x48454C49
"""Written into the header of every ledger file ("HELI"), so that no other file is taken for one."""

BUSY_TIMEOUT_MS: Final = 30_000
"""How long a writer waits for another one, such as the coordinator that it replaces."""

CACHE_KIB: Final = 8_192
"""Pages kept by each connection; the operating system caches the rest."""

READING: Final = {"heliostat_reads": True}
"""Options of a connection whose transactions only read."""

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

    engine = _engine(connect)
    event.listen(engine, "begin", _begin_write)
    return engine


def reader_engine(path: Path) -> Engine:
    """Connections that cannot write, to a ledger that is there. Raises `LedgerRefused`."""
    if not path.exists() or path.stat().st_size == 0:
        raise LedgerMissing(f"there is no ledger at {path}: start the farm that makes it")
    _check_file(path)

    def connect() -> sqlite3.Connection:
        connection = _connect(path, "ro")
        connection.execute("PRAGMA query_only=ON")
        return connection

    engine = _engine(connect)
    event.listen(engine, "begin", _begin_read)
    return engine


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


def _engine(connect: Callable[[], sqlite3.Connection]) -> Engine:
    return create_engine("sqlite://", creator=connect, poolclass=QueuePool)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    # No isolation level: transactions begin where `_begin_*` says, not where the driver guesses.
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    return connection


def _begin_write(connection: Connection) -> None:
    """Take the write lock at once: the epoch that is read first stays true until the commit."""
    if connection.get_execution_options().get("heliostat_reads"):
        _begin_read(connection)
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_read(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


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
