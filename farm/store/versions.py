"""Versions of clips: what a new one takes over from another clip, and what they share.

Recorded chunks and takes are taken over by reference: several rows may name one object. Only clips
of one project do so, and `clips.origin_clip` says from which; so whoever wants to know whether an
object is still needed looks at the clip's relatives, and at nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)

from farm.domain.clip import ENDED, ClipState
from farm.domain.errors import StaleWrite
from farm.domain.ledger import AddedClip, BatchChange, Reusable
from farm.plan.promise import kept
from farm.store import tables as t
from farm.store.commits import BLOCK, blocks, write_batches
from farm.store.rows import CHUNK_OBJECTS, read_batch

REUSE: Final = "reuse"

_CHUNK_KEYS: Final = tuple(t.chunks.c[f"{kind}_key"] for kind in CHUNK_OBJECTS)
_TAKE_KEYS: Final = (t.takes.c.video_key, t.takes.c.sidecar_key)


def latest_versions(
    connection: Connection, batch_id: str, names: Collection[str] | None = None
) -> dict[str, int]:
    """Name → the highest version that there is of it, of these names or of all."""
    query = (
        select(t.clips.c.name, func.max(t.clips.c.version))
        .where(t.clips.c.batch_id == batch_id)
        .group_by(t.clips.c.name)
    )
    parts = [query] if names is None else [query.where(_named(b)) for b in blocks(list(names))]
    return {name: version for part in parts for name, version in connection.execute(part)}


def latest_ids(connection: Connection, batch_id: str, names: Collection[str]) -> dict[str, str]:
    """Name → the id of its latest version."""
    query = (
        select(t.clips.c.name, t.clips.c.clip_id)
        .where(t.clips.c.batch_id == batch_id)
        .order_by(t.clips.c.version)
    )
    found: dict[str, str] = {}
    for block in blocks(list(names)):
        found.update(
            (row.name, row.clip_id) for row in connection.execute(query.where(_named(block)))
        )
    return found


def last_ordinal(connection: Connection, batch_id: str) -> int:
    """The place of a batch's last clip; 0 where it has none."""
    last = select(func.max(t.clips.c.ordinal)).where(t.clips.c.batch_id == batch_id)
    return connection.scalar(last) or 0


def copy_chunks(connection: Connection, added: Sequence[AddedClip]) -> None:
    """Give new clips the recorded chunks of their bases. Raises `StaleWrite` where one is gone."""
    for each in added:
        origin = each.row.origin
        if origin is None or not origin.chunks:
            continue
        taken_over = (
            t.chunks.c.clip_id == origin.clip_id,
            t.chunks.c.chunk < origin.chunks,
            t.chunks.c.segment_key.is_not(None),
        )
        copied = _copy(connection, t.chunks, literal(each.clip.clip_id), taken_over)
        if copied != origin.chunks:
            raise StaleWrite(
                f"clip {origin.clip_id} has {copied} of the {origin.chunks} chunks to be taken "
                "over; nothing was written"
            )


def give_takes(connection: Connection, at: float, batch_id: str, first: int) -> None:
    """Give the clips of a batch from ordinal `first` on the takes that they are to reuse.

    They are done at once. Where a take is there no more, its clip is rendered like any other.
    """
    reusing = (
        t.clips.c.batch_id == batch_id,
        t.clips.c.ordinal >= first,
        t.clips.c.origin_kind == REUSE,
    )
    if not connection.scalar(select(exists().where(*reusing))):
        return
    for table in (t.takes, t.chunks):
        connected = (*reusing, table.c.clip_id == t.clips.c.origin_clip)
        _copy(connection, table, t.clips.c.clip_id, connected)
    take = select(t.takes).where(t.takes.c.clip_id == t.clips.c.clip_id)
    base = t.clips.alias()
    released = select(base.c.released_at).where(base.c.clip_id == t.clips.c.origin_clip)
    connection.execute(
        update(t.clips)
        .where(*reusing, take.exists())
        .values(
            state=ClipState.DONE.value,
            chunks_done=t.clips.c.chunks,
            finished_at=at,
            released_at=released.scalar_subquery(),
            model_digest=take.with_only_columns(t.takes.c.model_digest).scalar_subquery(),
            stack_id=take.with_only_columns(t.takes.c.stack_id).scalar_subquery(),
        )
    )
    connection.execute(
        update(t.clips)
        .where(*reusing, ~take.exists())
        .values(origin_kind="", origin_clip=None, origin_chunks=0)
    )


def note_end(connection: Connection, epoch: int, at: float, batch_id: str) -> None:
    """Write down that a batch has ended where takes that were there make up all that it lacked.

    Its event and its notice are those of a batch whose last clip has ended.
    """
    counted = select(t.tallies.c.state).where(
        t.tallies.c.batch_id == batch_id, t.tallies.c.clips > 0
    )
    states = {ClipState(state) for state in connection.scalars(counted)}
    if not states <= ENDED:
        return
    batch = read_batch(
        connection.execute(select(t.batches).where(t.batches.c.batch_id == batch_id)).one()
    )
    kind = "failed" if ClipState.FAILED in states else "done"
    detail = kept(batch.promise, batch.spent, at)
    change = BatchChange(replace(batch, ended_at=at), kind, detail)
    write_batches(connection, epoch, at, [change])


def relatives(connection: Connection, clip_id: str) -> set[str]:
    """Clips that may name the same objects: those it took over from, and those from it."""
    found, new = {clip_id}, {clip_id}
    while new:
        near: set[str] = set()
        for block in blocks(sorted(new)):
            up = select(t.clips.c.origin_clip).where(
                t.clips.c.clip_id.in_(block), t.clips.c.origin_clip.is_not(None)
            )
            down = select(t.clips.c.clip_id).where(t.clips.c.origin_clip.in_(block))
            near.update(connection.scalars(up))
            near.update(connection.scalars(down))
        new = near - found
        found |= new
    return found - {clip_id}


def keys_of(connection: Connection, clip_ids: Iterable[str]) -> set[str]:
    """The objects that the rows of some clips name."""
    found: set[str] = set()
    for block in blocks(sorted(clip_ids)):
        for keys in (_CHUNK_KEYS, _TAKE_KEYS):
            table = keys[0].table
            for row in connection.execute(select(*keys).where(table.c.clip_id.in_(block))):
                found.update(key for key in row if key is not None)
    return found


def reusable(connection: Connection, project: str, digests: Sequence[str]) -> list[Reusable]:
    """Takes of a project that were rendered by what these digests stand for, the latest last.

    One whose prompt was changed while it rendered is not: its digest does not know of that.
    """
    steered = exists().where(
        t.chunks.c.clip_id == t.clips.c.clip_id, t.chunks.c.steered.is_not(None)
    )
    query = (
        select(
            t.clips.c.digest, t.clips.c.clip_id, t.clips.c.chunks,
            t.takes.c.model_digest, t.takes.c.stack_id,
        )
        .join(t.takes, t.takes.c.clip_id == t.clips.c.clip_id)
        .join(t.batches, t.batches.c.batch_id == t.clips.c.batch_id)
        .where(
            t.clips.c.state == ClipState.DONE.value,
            t.clips.c.digest != "",
            t.batches.c.project == project,
            ~steered,
        )
        .order_by(t.takes.c.recorded_at)
    )  # fmt: skip
    found: list[Reusable] = []
    for start in range(0, len(digests), BLOCK):
        block = digests[start : start + BLOCK]
        found += [
            Reusable(*row) for row in connection.execute(query.where(t.clips.c.digest.in_(block)))
        ]
    return found


def _copy(
    connection: Connection,
    table: Table,
    clip_id: ColumnElement[Any],
    where: tuple[ColumnElement[bool], ...],
) -> int:
    """Add rows of a table again, for other clips; returns how many."""
    columns = [column for column in table.c if column.name != "clip_id"]
    rows = select(clip_id, *columns).where(*where)
    names = ["clip_id", *(column.name for column in columns)]
    copying = insert(table).from_select(names, rows)
    return connection.execute(copying, execution_options={"preserve_rowcount": True}).rowcount


def _named(block: Sequence[str]) -> ColumnElement[bool]:
    return t.clips.c.name.in_(block)
