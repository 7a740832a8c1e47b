"""What was done for the clips of a batch, summed over their chunks and events."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, Row, case, func, or_, select

from farm.domain.clip import EventKind
from farm.domain.work import ClipWork
from farm.store import tables as t
from farm.store.rows import TAKEN_OVER

_COUNTED: Final = {
    "leases": EventKind.LEASE,
    "lost": EventKind.LOST,
    "failed": EventKind.FAIL,
    "yielded": EventKind.YIELD,
}


def read_work(connection: Connection, batch_id: str, *, limit: int, after: int) -> list[ClipWork]:
    """Of clips in the order of the file, after ordinal `after`."""
    page = (
        select(t.clips.c.clip_id, t.clips.c.created_at, t.clips.c.finished_at,
               t.clips.c.model_digest, t.clips.c.stack_id, t.clips.c.ordinal)
        .where(t.clips.c.batch_id == batch_id, t.clips.c.ordinal > after)
        .order_by(t.clips.c.ordinal)
        .limit(limit)
    )  # fmt: skip
    clips = connection.execute(page).all()
    if not clips:
        return []
    within = (
        t.clips.c.batch_id == batch_id,
        t.clips.c.ordinal > after,
        t.clips.c.ordinal <= clips[-1].ordinal,
    )
    chunks: dict[str, list[Row[Any]]] = {}
    for row in connection.execute(_chunks().where(*within)):
        chunks.setdefault(row.clip_id, []).append(row)
    events = {row.clip_id: row for row in connection.execute(_events().where(*within))}
    return [_work(clip, chunks.get(clip.clip_id, ()), events.get(clip.clip_id)) for clip in clips]


def _chunks() -> Any:
    c = t.chunks.c
    return (
        select(
            c.clip_id,
            c.card_id,
            func.count().label("chunks"),
            func.sum(c.render_seconds).label("render_seconds"),
            func.sum(c.encode_seconds).label("encode_seconds"),
            func.coalesce(func.sum(c.energy_joules), 0.0).label("joules"),
            func.count(c.energy_joules).label("measured"),
            func.min(c.recorded_at).label("first"),
            func.max(c.recorded_at).label("last"),
        )
        .join(t.clips, t.clips.c.clip_id == c.clip_id)
        .where(c.chunk >= TAKEN_OVER, or_(t.clips.c.origin_kind != "reuse", t.clips.c.attempt > 0))
        .group_by(c.clip_id, c.card_id)
        .order_by(c.clip_id, c.card_id)
    )


def _events() -> Any:
    c = t.events.c
    counts = [
        func.sum(case((c.kind == kind.value, 1), else_=0)).label(name)
        for name, kind in _COUNTED.items()
    ]
    leased_at = case((c.kind == EventKind.LEASE.value, c.at))
    return (
        select(c.clip_id, *counts, func.min(leased_at).label("first_leased_at"))
        .join(t.clips, t.clips.c.clip_id == c.clip_id)
        .where(c.kind.in_([kind.value for kind in _COUNTED.values()]))
        .group_by(c.clip_id)
    )


def _work(clip: Any, chunks: Any, events: Any) -> ClipWork:
    told = {} if events is None else {name: int(getattr(events, name)) for name in _COUNTED}
    return ClipWork(
        clip_id=clip.clip_id,
        created_at=clip.created_at,
        ended_at=clip.finished_at,
        model_digest=clip.model_digest or "",
        stack_id=clip.stack_id or "",
        chunks=sum(row.chunks for row in chunks),
        render_seconds=sum(row.render_seconds for row in chunks),
        encode_seconds=sum(row.encode_seconds for row in chunks),
        joules=sum(row.joules for row in chunks),
        chunks_measured=sum(row.measured for row in chunks),
        first_chunk_at=min((row.first for row in chunks), default=None),
        last_chunk_at=max((row.last for row in chunks), default=None),
        cards=tuple(row.card_id for row in chunks),
        first_leased_at=None if events is None else events.first_leased_at,
        **told,
    )
