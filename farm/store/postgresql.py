"""All that is PostgreSQL's own.

A ledger is a database of its own. A commit that returned is on the disk of the server
(`synchronous_commit=on`, whatever the server's default is). The row that holds the epoch is locked
by whoever writes, so writers stand in line. A writer that fell silent gives the line up: its
session ends when it sits in a transaction, and its server notices when its machine is gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, func, select, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import InterfaceError, OperationalError

from farm.domain.errors import LedgerUnavailable
from farm.store.refused import LedgerMissing, LedgerRefused

SERVER_VERSION_MIN: Final = 14
CONNECT_SECONDS: Final = 10
LOCK_SECONDS: Final = 30
"""How long a writer waits for another one, such as the coordinator that it replaces."""

WRITE_SECONDS: Final = 300
"""Longest statement of a writer: a batch of a million clips is published by one."""

READ_SECONDS: Final = 60
IDLE_SECONDS: Final = 30
"""A session that stops in the middle of a transaction for longer is ended by the server."""

SILENCE_SECONDS: Final = 30
"""A peer from which nothing is heard for so long is taken for dead, on both ends."""

WRITER_NAME: Final = "heliostat writer"
"""What sessions are called in the server's own views."""

READER_NAME: Final = "heliostat reader"

READING: Final[Mapping[str, Any]] = MappingProxyType(
    {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
)
"""Options of a connection whose transactions each see one moment."""

OWN_TABLES: Final = frozenset({"alembic_version", "batches", "clips", "events", "farm"})
"""By these a ledger is recognised."""

_LOCK: Final = 0x48454C49
_URL_OPTIONS: Final = frozenset(
    {"host", "port", "passfile", "sslcert", "sslkey", "sslmode", "sslrootcert"}
)


def check_url(url: URL) -> URL:
    """The URL as the driver takes it. Raises `LedgerRefused`."""
    if url.drivername not in ("postgresql", "postgresql+psycopg"):
        raise LedgerRefused(f"{url.drivername} is not offered: begin the URL with postgresql://")
    if not url.database:
        raise LedgerRefused("the ledger is a database of its own: name it, …://USER@HOST/DATABASE")
    if unknown := sorted(url.query.keys() - _URL_OPTIONS):
        raise LedgerRefused(
            f"the ledger's URL does not take {', '.join(unknown)}: "
            f"it takes {', '.join(sorted(_URL_OPTIONS))}"
        )
    return url.set(drivername="postgresql+psycopg")


def without_password(url: URL) -> URL:
    """The same database for people, as they would write it."""
    return URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)


def writer_engine(url: URL) -> Engine:
    """Connections that write. Raises `LedgerRefused`, `LedgerUnavailable`.

    A connection that broke is noticed by the transaction that is under way: it fails, and whoever
    wanted it reads anew what the ledger holds.
    """
    engine = _engine(url, WRITER_NAME, WRITE_SECONDS)
    return _checked(engine, must_be_there=False)


def reader_engine(url: URL) -> Engine:
    """Connections that cannot write, to a ledger that is there.

    Raises `LedgerRefused`, `LedgerUnavailable`. One that broke is replaced before it is used.
    """
    engine = _engine(url, READER_NAME, READ_SECONDS, pool_pre_ping=True, execution_options=READING)
    return _checked(engine, must_be_there=True)


def lock(connection: Connection) -> None:
    """Until the transaction ends, nobody else gets past here."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def other_writers(connection: Connection) -> int:
    """Sessions beside this one that may write to this ledger."""
    count: int = connection.execute(
        text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name = :name AND pid <> pg_backend_pid()"
        ),
        {"name": WRITER_NAME},
    ).scalar_one()
    return count


def count_on(connection: Connection, table: Table) -> None:
    """Let a table's sequence, if it has one, go on after its largest number."""
    for column in table.primary_key:
        sequence = connection.execute(
            select(func.pg_get_serial_sequence(table.name, column.name))
        ).scalar()
        if sequence is not None:
            largest = connection.execute(select(func.coalesce(func.max(column), 0))).scalar_one()
            connection.execute(
                text("SELECT setval(CAST(:sequence AS regclass), :next, false)"),
                {"sequence": sequence, "next": largest + 1},
            )


@contextmanager
def snapshot(url: URL) -> Iterator[Connection]:
    """One transaction that sees one moment, however long it is read."""
    engine = reader_engine(url)
    try:
        with engine.begin() as connection:
            for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
                connection.exec_driver_sql(f"SET LOCAL {limit} = 0")
            yield connection
    finally:
        engine.dispose()


def _engine(url: URL, name: str, statement_seconds: int, **more: Any) -> Engine:
    server_settings = {
        "synchronous_commit": "on",
        "statement_timeout": f"{statement_seconds}s",
        "lock_timeout": f"{LOCK_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "4",
        "client_min_messages": "warning",
    }
    try:
        engine = create_engine(
            url,
            connect_args={
                "application_name": name,
                "connect_timeout": CONNECT_SECONDS,
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 4,
                "tcp_user_timeout": SILENCE_SECONDS * 1000,
                "options": " ".join(f"-c {key}={value}" for key, value in server_settings.items()),
            },
            hide_parameters=True,  # errors are logged, prompts are not
            **more,
        )
    except ImportError as error:
        raise LedgerRefused(
            f"a ledger in PostgreSQL needs its driver ({error}): install heliostat[postgres]"
        ) from error
    event.listen(engine, "handle_error", _say_unavailable)
    return engine


def _say_unavailable(context: ExceptionContext) -> BaseException | None:
    """The farm's own error where the server, not the statement, is the cause."""
    if context.is_pre_ping:  # the pool is about to connect anew by itself
        return None
    if not context.is_disconnect and not isinstance(
        context.sqlalchemy_exception, OperationalError | InterfaceError
    ):
        return None
    said = " ".join(str(context.original_exception).split())
    return LedgerUnavailable(f"the ledger's database does not do what it is asked: {said}")


def _checked(engine: Engine, *, must_be_there: bool) -> Engine:
    try:
        with engine.begin() as connection:
            _check_database(connection, must_be_there=must_be_there)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _check_database(connection: Connection, *, must_be_there: bool) -> None:
    """Raise `LedgerRefused` for a database that is something else; it is not written to."""
    name, schema, encoding, version = connection.exec_driver_sql(
        "SELECT current_database(), current_schema(), current_setting('server_encoding'), "
        "current_setting('server_version_num')::int / 10000"
    ).one()
    if version < SERVER_VERSION_MIN:
        raise LedgerRefused(f"PostgreSQL {version} is too old: use {SERVER_VERSION_MIN} or later")
    if encoding != "UTF8":
        raise LedgerRefused(
            f"database {name} is encoded in {encoding}, prompts come in every script: "
            "make one WITH ENCODING 'UTF8' TEMPLATE template0"
        )
    if schema is None:
        raise LedgerRefused(f"database {name} has no schema for this user: check its search_path")
    tables = set(
        connection.exec_driver_sql(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace "
            "AND relkind IN ('r', 'p', 'v', 'm', 'f')"
        ).scalars()
    )
    if not tables and must_be_there:
        raise LedgerMissing(f"there is no ledger in {name}: start the farm that makes it")
    if tables and not tables >= OWN_TABLES:
        raise LedgerRefused(f"{name} is another program's database: name another one")
