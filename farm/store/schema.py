"""Bringing a database to this version's schema, and refusing one from a later version."""

from __future__ import annotations

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
    config = _config()
    with engine.begin() as connection:
        alone(connection)
        if _revision(connection, config) == _head(config):
            return
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def check(engine: Engine) -> None:
    """Raise `LedgerRefused` unless the tables are the ones that this version reads."""
    config = _config()
    with engine.begin() as connection:
        revision = _revision(connection, config)
    if revision != _head(config):
        raise LedgerRefused(
            f"the ledger is at revision {revision or 'none'}, this version reads "
            f"{_head(config)}: start this version's coordinator once, it migrates"
        )


def _config() -> Config:
    config = Config()
    # A % would be taken for a reference to another option.
    location = str(Path(__file__).parent / "migrations").replace("%", "%%")
    config.set_main_option("script_location", location)
    config.set_main_option("path_separator", "os")
    return config


def _head(config: Config) -> str:
    head = ScriptDirectory.from_config(config).get_current_head()
    assert head is not None
    return head


def _revision(connection: Connection, config: Config) -> str | None:
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is not None:
        try:
            ScriptDirectory.from_config(config).get_revision(revision)
        except CommandError as error:
            raise LedgerRefused(
                f"the ledger is at revision {revision}, which a newer Heliostat wrote: "
                "start that version, or name another file"
            ) from error
    return revision
