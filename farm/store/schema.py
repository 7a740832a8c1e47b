"""Bringing a database to this version's schema, and refusing one from a later version."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine

from farm.store.engine import alone
from farm.store.refused import LedgerRefused


def upgrade(engine: Engine) -> None:
    """Create or migrate the tables, in one transaction. Raises `LedgerRefused`."""
    with engine.begin() as connection:
        alone(connection)
        if revision_of(connection) != head():
            command.upgrade(config_of(connection), "head")


def check(engine: Engine) -> None:
    """Raise `LedgerRefused` unless the tables are the ones that this version reads."""
    with engine.begin() as connection:
        revision = revision_of(connection)
    if revision != head():
        raise LedgerRefused(
            f"the ledger is at revision {revision or 'none'}, this version reads "
            f"{head()}: start this version's coordinator once, it migrates"
        )


def head() -> str:
    """The revision that this version reads and writes."""
    revision = _script().get_current_head()
    assert revision is not None
    return revision


def known_revisions() -> list[str]:
    """All revisions up to this version's, the first one first."""
    return [script.revision for script in _script().walk_revisions()][::-1]


def revision_of(connection: Connection) -> str | None:
    """A database's revision; None without tables. Raises `LedgerRefused` for a later one."""
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is not None:
        try:
            _script().get_revision(revision)
        except CommandError as error:
            raise LedgerRefused(
                f"the ledger is at revision {revision}, which a newer Heliostat wrote: "
                "start that version, or name another ledger"
            ) from error
    return revision


def config_of(connection: Connection) -> Config:
    """What Alembic's commands take to work within this transaction."""
    config = _config()
    config.attributes["connection"] = connection
    return config


def _config() -> Config:
    config = Config()
    # A % would be taken for a reference to another option.
    location = str(Path(__file__).parent / "migrations").replace("%", "%%")
    config.set_main_option("script_location", location)
    config.set_main_option("path_separator", "os")
    return config


@cache
def _script() -> ScriptDirectory:
    """The migrations, read once: it takes longer than to open a ledger."""
    return ScriptDirectory.from_config(_config())
