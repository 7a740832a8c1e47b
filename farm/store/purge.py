"""Removing a project's batches from the ledger, every row of them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import ColumnElement, Connection, Table, delete, select

from farm.domain.errors import FarmError
from farm.store import tables as t
from farm.store.engine import writer_engine

_NOT_THEIRS: Final = frozenset({"farm", "totals"})


class BatchOpen(FarmError):
    """The batch has clips that have not ended: cancel it first."""

    reason = "BATCH_OPEN"


def purge_batch(url_or_path: str | Path, batch_id: str) -> dict[str, int]:
    """Delete a batch that has ended, in one transaction; returns the rows deleted by table.

    The coordinator knows nothing of a batch that has ended, and its epoch's row is locked
    meanwhile, so this may be done beside it. Raises `BatchOpen`, `LedgerUnavailable`.
    """
    engine = writer_engine(url_or_path)
    try:
        with engine.begin() as connection:
            connection.execute(select(t.farm.c.epoch).with_for_update())
            return _delete(connection, batch_id)
    finally:
        engine.dispose()


def _delete(connection: Connection, batch_id: str) -> dict[str, int]:
    is_open = select(t.clips.c.clip_id).where(
        t.clips.c.batch_id == batch_id, t.clips.c.finished_at.is_(None)
    )
    if connection.scalar(is_open.limit(1)) is not None:
        raise BatchOpen(f"batch {batch_id} has clips that have not ended: `farm cancel` it first")
    deleted = {}
    for table in reversed(t.metadata.sorted_tables):
        if (of_batch := _of_batch(table, batch_id)) is not None:
            deleted[table.name] = connection.execute(delete(table).where(of_batch)).rowcount
    return {name: count for name, count in deleted.items() if count}


def _of_batch(table: Table, batch_id: str) -> ColumnElement[bool] | None:
    """Which rows of a table are of the batch or its clips; None when there can be none."""
    if table.name in _NOT_THEIRS:
        return None
    if table is t.clip_values:
        columns = select(t.batch_columns.c.number).where(t.batch_columns.c.batch_id == batch_id)
        return t.clip_values.c.column_number.in_(columns)
    if "batch_id" in table.c:
        return table.c.batch_id == batch_id
    if "clip_id" in table.c:
        return table.c.clip_id.in_(select(t.clips.c.clip_id).where(t.clips.c.batch_id == batch_id))
    return None
