"""`farm restore`: a backup into a database of either kind, all of it or nothing."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Final

from alembic import command
from sqlalchemy import Connection, Engine, MetaData, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from farm.domain.clip import AttemptLost, ClipState, EventKind, RetryAt, step
from farm.domain.ledger import ClipChange, Commit
from farm.store import commits
from farm.store import tables as t
from farm.store.backup_file import BackupReader, BackupRefused, Manifest, OnRows
from farm.store.bulk import Bulk
from farm.store.engine import alone, count_on, require_quiet, writer_engine
from farm.store.refused import LedgerRefused
from farm.store.rows import CLIP_COLUMNS, read_clips
from farm.store.schema import config_of, known_revisions, revision_of

ROWS_AT_ONCE: Final = 2_000
REASON: Final = "the ledger was restored from a backup"

_OF_ANY_FARM: Final = frozenset(
    {"alembic_version", "cards", "farm", "fleet_events", "totals", "usage"}
)
"""Tables that hold rows as soon as a farm was started."""


def restore(
    file: Path, url_or_path: str | Path, *, at: float, replace: bool, on_rows: OnRows
) -> Manifest:
    """Put a backup in the place of a ledger, and bring it to this version.

    The whole file is verified before anything is touched. What cards hold is taken back: its
    clips are queued again, and the epoch is later than any that was ever claimed. Raises
    `BackupRefused`, `LedgerRefused` (for a ledger that holds something, unless `replace`; for one
    in use), `LedgerUnavailable`, OSError.
    """
    reader = BackupReader(file)
    try:
        if reader.manifest.revision not in known_revisions():
            raise BackupRefused(
                f"{file}: its ledger is at revision {reader.manifest.revision}, which this "
                f"version does not know: use Heliostat {reader.manifest.heliostat} or later"
            )
        reader.verify(lambda done, total: on_rows(done, 2 * total))
        engine = writer_engine(url_or_path)
        try:
            _restore(engine, reader, at, replace, on_rows)
        finally:
            engine.dispose()
    finally:
        reader.close()
    return reader.manifest


def _restore(
    engine: Engine, reader: BackupReader, at: float, replace: bool, on_rows: OnRows
) -> None:
    manifest = reader.manifest
    with engine.begin() as connection:
        alone(connection)
        require_quiet(connection)
        epoch = max(_claimed(connection, replace), manifest.epoch) + 1
        _drop_all(connection)
        config = config_of(connection)
        command.upgrade(config, manifest.revision)
        try:
            _fill(connection, reader, on_rows)
        except IntegrityError as error:
            raise BackupRefused(f"the backup contradicts itself: {error.orig}") from error
        command.upgrade(config, "head")
        connection.execute(update(t.farm).values(epoch=epoch, claimed_at=at))
        _take_back(connection, epoch, at)


def _claimed(connection: Connection, replace: bool) -> int:
    """The latest epoch of what is there. Raises `LedgerRefused` where that is to be kept."""
    if revision_of(connection) is None:
        return 0
    held = MetaData()
    held.reflect(connection)
    kept = [
        table.name
        for table in held.sorted_tables
        if table.name not in _OF_ANY_FARM
        and connection.execute(select(func.count()).select_from(table)).scalar_one()
        > (table.name == "projects")
    ]
    if kept and not replace:
        raise LedgerRefused(
            f"the ledger is not empty (it has {', '.join(kept)}): "
            "back it up, then say --replace to put the backup in its place"
        )
    claimed: int = connection.execute(select(held.tables["farm"].c.epoch)).scalar_one()
    return claimed


def _drop_all(connection: Connection) -> None:
    held = MetaData()
    held.reflect(connection)
    held.drop_all(connection)


def _fill(connection: Connection, reader: BackupReader, on_rows: OnRows) -> None:
    """All rows, into tables of the backup's own schema."""
    schema, manifest = MetaData(), reader.manifest
    schema.reflect(connection)
    for table in reversed(schema.sorted_tables):
        if table.name != "alembic_version":
            connection.execute(delete(table))  # what migrations put there
    done = manifest.rows
    for name, entry in manifest.tables.items():
        table = schema.tables.get(name)
        if table is None or not set(entry.columns) <= set(table.c.keys()):
            raise BackupRefused(f"the backup's table {name} is not one of its revision")
        into = Bulk(insert(table).inline(), entry.columns)
        rows = reader.rows(name)
        while block := list(islice(rows, ROWS_AT_ONCE)):
            into.run(connection, [dict(zip(entry.columns, row, strict=True)) for row in block])
            done += len(block)
            on_rows(done, 2 * manifest.rows)
        count_on(connection, table)


def _take_back(connection: Connection, epoch: int, at: float) -> None:
    """Clips that were leased are queued again; nothing is spent."""
    leased = select(*CLIP_COLUMNS).where(t.clips.c.state == ClipState.LEASED.value)
    changes: list[ClipChange] = []
    for clip in read_clips(connection.execute(leased).all()):
        lost = AttemptLost(REASON, RetryAt(0.0), started=False)
        card_id = clip.holder.card_id if clip.holder else ""
        changes.append(ClipChange(clip, step(clip, lost), EventKind.LOST, REASON, card_id))
    commits.write_clips(connection, epoch, at, Commit(clips=changes))
