"""`farm backup`: all of a ledger as it was at one moment, while its coordinator writes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import JSON, Connection, Table, Text, cast, func, select

import farm
from farm.store import tables as t
from farm.store.backup_file import (
    FORMAT,
    FORMAT_VERSION,
    BackupWriter,
    Manifest,
    OnRows,
    TableEntry,
)
from farm.store.engine import reader_engine, snapshot
from farm.store.schema import check, head

ROWS_AT_ONCE: Final = 2_000


def backup(url_or_path: str | Path, file: Path, *, at: float, on_rows: OnRows) -> Manifest:
    """Write a ledger of this version into a file that can be restored into any database.

    Raises `LedgerRefused`, `LedgerUnavailable`, `BackupRefused` when the file exists, OSError.
    """
    engine = reader_engine(url_or_path)
    try:
        check(engine)
    finally:
        engine.dispose()
    writer = BackupWriter(file)
    try:
        with snapshot(url_or_path, file.parent) as connection:
            manifest = _write(connection, writer, at, on_rows)
        writer.finish(manifest)
    except BaseException:
        writer.abandon()
        raise
    return manifest


def _write(connection: Connection, writer: BackupWriter, at: float, on_rows: OnRows) -> Manifest:
    held = {
        table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for table in t.metadata.sorted_tables
    }
    total, done = sum(held.values()), 0
    entries: dict[str, TableEntry] = {}
    for table in t.metadata.sorted_tables:

        def rows(table: Table = table) -> Iterator[Sequence[Any]]:
            nonlocal done
            for row in _rows(connection, table):
                yield row
                done += 1
                if not done % 1000:
                    on_rows(done, total)

        entries[table.name] = writer.table(table.name, [c.name for c in table.c], rows())
    on_rows(done, total)
    identity = connection.execute(select(t.farm.c.farm_id, t.farm.c.epoch)).one()
    return Manifest(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        heliostat=farm.__version__,
        revision=head(),
        farm_id=identity.farm_id,
        epoch=identity.epoch,
        made_at=at,
        tables=entries,
    )


def _rows(connection: Connection, table: Table) -> Iterator[Sequence[Any]]:
    """A table's rows in the order of its key, JSON as text."""
    columns = [cast(c, Text) if isinstance(c.type, JSON) else c for c in table.c]
    query = select(*columns).order_by(*table.primary_key)
    yield from connection.execution_options(yield_per=ROWS_AT_ONCE).execute(query)


def plain(manifest: Manifest) -> dict[str, Any]:
    """A manifest for programs, without its hashes."""
    return {
        "farm_id": manifest.farm_id,
        "epoch": manifest.epoch,
        "revision": manifest.revision,
        "made_at": manifest.made_at,
        "rows": manifest.rows,
        "tables": {name: entry.rows for name, entry in manifest.tables.items()},
    }
