"""Letting go of what ended long ago (S3-5): in small steps, each within a transaction.

A chunk's row stays, and what it measured; it forgets its objects, and they are deleted after that.
Of a finished clip the last checkpoint stays, so that it can still be extended: the last three
negatives, and the first two for the anchor (docs/decisions/0012).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, null, select, update

from farm.domain.clip import ClipState
from farm.domain.ledger import Released, StoredObject
from farm.store import tables as t
from farm.store import versions
from farm.store.bulk import Bulk
from farm.store.rows import CHUNK_OBJECTS

FIRST_KEPT: Final = 2
LAST_KEPT: Final = 3
EVENTS_AT_ONCE: Final = 5_000

_PARTS: Final = ("key", "sha256", "size")
_of_clip: Final = t.chunks.c.clip_id == bindparam("of_clip")

_forget_objects: Final = Bulk(
    update(t.chunks)
    .where(_of_clip, t.chunks.c.chunk < bindparam("chunks_done"))
    .values(
        {
            f"{kind}_{part}": null()
            for kind in CHUNK_OBJECTS
            if kind != "negative"
            for part in _PARTS
        }
    )
)
_forget_negatives: Final = Bulk(
    update(t.chunks)
    .where(
        _of_clip,
        t.chunks.c.chunk >= bindparam("low"),
        t.chunks.c.chunk < bindparam("high"),
    )
    .values({f"negative_{part}": null() for part in _PARTS})
)
_mark: Final = Bulk(
    update(t.clips)
    .where(t.clips.c.clip_id == bindparam("of_clip"))
    .values(released_at=bindparam("at"))
)


def release(
    connection: Connection, at: float, *, chunks_before: float, events_before: float, limit: int
) -> Released:
    """Let go of the chunks of at most `limit` clips that ended before a time (Unix seconds), and
    of some events of one batch that ended before another; 0 lets go of none.

    Returns the objects that no row names any more.
    """
    clips, objects = _release_chunks(connection, at, chunks_before, limit)
    events = _delete_events(connection, events_before) if events_before else 0
    return Released(clips=clips, events=events, objects=tuple(objects))


def _release_chunks(
    connection: Connection, at: float, before: float, limit: int
) -> tuple[int, list[StoredObject]]:
    ended = connection.execute(
        select(t.clips.c.clip_id, t.clips.c.state, t.clips.c.chunks_done)
        .where(t.clips.c.finished_at < before, t.clips.c.released_at.is_(None))
        .order_by(t.clips.c.finished_at)
        .limit(limit)
    ).all()
    rows: list[dict[str, Any]] = []
    by_clip: dict[str, list[StoredObject]] = {}
    for clip_id, state, chunks_done in ended:
        done = state == ClipState.DONE.value
        low, high = (FIRST_KEPT, chunks_done - LAST_KEPT) if done else (0, chunks_done)
        rows.append(
            {"of_clip": clip_id, "chunks_done": chunks_done, "low": low, "high": high, "at": at}
        )
        by_clip[clip_id] = _objects(connection, clip_id, low, high)
    _forget_objects.run(connection, rows)
    _forget_negatives.run(connection, rows)
    _mark.run(connection, rows)
    return len(ended), _unnamed(connection, by_clip)


def _unnamed(
    connection: Connection, forgotten: Mapping[str, Sequence[StoredObject]]
) -> list[StoredObject]:
    """What clips have forgotten and no relative of theirs still names, each object once."""
    found: dict[str, StoredObject] = {}
    for clip_id, objects in forgotten.items():
        others = versions.relatives(connection, clip_id)
        named = versions.keys_of(connection, {clip_id, *others}) if others else ()
        found.update((stored.key, stored) for stored in objects if stored.key not in named)
    return list(found.values())


def _objects(connection: Connection, clip_id: str, low: int, high: int) -> list[StoredObject]:
    """What a clip's chunks are about to forget."""
    found = []
    for row in connection.execute(select(t.chunks).where(t.chunks.c.clip_id == clip_id)):
        value = row._mapping
        found += [
            StoredObject(
                kind=kind,
                key=value[f"{kind}_key"],
                sha256=value[f"{kind}_sha256"],
                size_bytes=value[f"{kind}_size"],
            )
            for kind in CHUNK_OBJECTS
            if value[f"{kind}_key"] is not None and (kind != "negative" or low <= row.chunk < high)
        ]
    return found


def _delete_events(connection: Connection, before: float) -> int:
    of_batch = t.clips.c.batch_id == t.batches.c.batch_id
    batch_id = connection.scalar(
        select(t.batches.c.batch_id)
        .where(
            t.batches.c.published_at < before,
            select(t.events.c.sequence).where(t.events.c.batch_id == t.batches.c.batch_id).exists(),
            ~select(t.clips.c.clip_id).where(of_batch, t.clips.c.finished_at.is_(None)).exists(),
            ~select(t.clips.c.clip_id).where(of_batch, t.clips.c.finished_at >= before).exists(),
        )
        .order_by(t.batches.c.number)
        .limit(1)
    )
    oldest = (
        select(t.events.c.sequence)
        .where(t.events.c.batch_id == batch_id)
        .order_by(t.events.c.sequence)
        .limit(EVENTS_AT_ONCE)
    )
    deleted = connection.execute(delete(t.events).where(t.events.c.sequence.in_(oldest)))
    return deleted.rowcount
