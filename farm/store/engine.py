"""How a ledger is opened by its name: a path, `sqlite:///PATH` or `postgresql://…`.

What is one database's own is in `sqlite.py` and `postgresql.py`; everything else in this package
is written for both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, Table
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from farm.store import postgresql, sqlite
from farm.store.refused import LedgerRefused

NAMES = "use sqlite:///PATH or postgresql://USER@HOST/DATABASE"


def place_of(url_or_path: str | Path) -> Path | URL:
    """The file, or the address of a PostgreSQL database. Raises `LedgerRefused`.

    No error repeats a URL as it came: there may be a password in it.
    """
    text = str(url_or_path)
    if isinstance(url_or_path, Path) or "://" not in text:
        return sqlite.check_path(text)
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise LedgerRefused(f"the ledger's name is no database URL: {NAMES}") from None
    if url.get_backend_name() == "postgresql":
        return postgresql.check_url(url)
    if url.get_backend_name() != "sqlite":
        raise LedgerRefused(f"{url.get_backend_name()} is not offered: {NAMES}")
    if url.query:
        raise LedgerRefused("the URL of a SQLite ledger takes no options: use sqlite:///PATH")
    return sqlite.check_path(url.database or "")


def shown(url_or_path: str | Path) -> str:
    """A ledger's name for people: without a password. Raises `LedgerRefused`."""
    place = place_of(url_or_path)
    if isinstance(place, Path):
        return str(place)
    return postgresql.without_password(place).render_as_string(hide_password=True)


def writer_engine(url_or_path: str | Path, *, durable: bool = True) -> Engine:
    """Connections that write; `durable` or not is a matter of files alone.

    Raises `LedgerRefused`, `LedgerUnavailable`.
    """
    place = place_of(url_or_path)
    if isinstance(place, Path):
        return sqlite.writer_engine(place, durable=durable)
    return postgresql.writer_engine(place)


def reader_engine(url_or_path: str | Path) -> Engine:
    """Connections that cannot write, to a ledger that is there.

    Raises `LedgerRefused`, `LedgerUnavailable`.
    """
    place = place_of(url_or_path)
    if isinstance(place, Path):
        return sqlite.reader_engine(place)
    return postgresql.reader_engine(place)


def reading(engine: Engine) -> Engine:
    """A writer's connections, with transactions that see one moment and wait for no writer."""
    if is_sqlite(engine):
        return sqlite.reading(engine)
    return engine.execution_options(**postgresql.READING)


def alone(connection: Connection) -> None:
    """Until the transaction ends, no other one migrates or restores this ledger."""
    if not is_sqlite(connection.engine):  # a writer of SQLite is alone from its BEGIN
        postgresql.lock(connection)


def require_quiet(connection: Connection) -> None:
    """Raise `LedgerRefused` while others could write to the ledger that is to be replaced.

    Of a file nobody can tell; the head's own settings say whether its farm runs.
    """
    if not is_sqlite(connection.engine) and (others := postgresql.other_writers(connection)):
        raise LedgerRefused(f"a coordinator uses this ledger ({others} sessions): stop its farm")


def count_on(connection: Connection, table: Table) -> None:
    """New rows are numbered after those that were put into `table` with their numbers."""
    if not is_sqlite(connection.engine):  # SQLite looks at the rows
        postgresql.count_on(connection, table)


@contextmanager
def snapshot(url_or_path: str | Path, beside: Path) -> Iterator[Connection]:
    """A ledger as it is at one moment, for as long as it takes to read; writers do not wait.

    Of a file a copy is read, which lies in the directory `beside` meanwhile.
    """
    place = place_of(url_or_path)
    if isinstance(place, Path):
        with sqlite.snapshot(place, beside) as connection:
            yield connection
    else:
        with postgresql.snapshot(place) as connection:
            yield connection


def is_sqlite(engine: Engine) -> bool:
    """Whether it is the embedded database."""
    return engine.dialect.name == "sqlite"
