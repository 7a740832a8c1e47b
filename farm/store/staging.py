"""Submissions: rows that nobody sees until they are published, all at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import (
    Connection,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from farm.domain.batch import Batch, BatchState
from farm.domain.clip import ClipState, EventKind, chunks_of
from farm.domain.errors import NotFound, StaleWrite
from farm.domain.ledger import RequestRow
from farm.domain.spec import LoraUse, NewClip
from farm.store import tables as t
from farm.store.bulk import Values, inserting, json_text
from farm.store.clip_query import indexed
from farm.store.commits import request_conflict, write_batch_event
from farm.store.options import option_values
from farm.store.plan_rows import batch_decisions, batch_terms
from farm.store.rows import read_request

_insert_clips: Final = inserting(
    t.clips,
    [
        "clip_id", "batch_id", "ordinal", "file_row", "name", "version", "quality", "mode",
        "frames", "chunks", "height", "width", "fps", "seed", "steps", "guidance_scale", "state",
        "created_at", "loras", "file_name", "digest", "origin_kind", "origin_clip",
        "origin_chunks",
    ],
)  # fmt: skip
_insert_values: Final = inserting(t.clip_values)
_insert_texts: Final = inserting(t.texts)
_insert_tallies: Final = inserting(t.tallies)
_insert_dependencies: Final = inserting(t.dependencies)


def insert_batch(connection: Connection, batch: Batch) -> None:
    """Begin a submission. Raises `StaleWrite` when the id is taken."""
    try:
        connection.execute(
            insert(t.batches).values(
                batch_id=batch.batch_id,
                project=batch.project,
                name=batch.name,
                created_at=batch.created_at,
                **batch_decisions(batch),
                **batch_terms(batch),
            )
        )
    except IntegrityError as error:
        raise StaleWrite(f"there is a batch {batch.batch_id} already") from error


def insert_clips(connection: Connection, batch_id: str, clips: Sequence[NewClip]) -> None:
    """Add clips. Raises `NotFound` without a staged batch, `StaleWrite` for clips it has."""
    staged = connection.execute(
        select(t.batches.c.created_at, t.batches.c.after, t.batches.c.joins).where(
            t.batches.c.batch_id == batch_id, t.batches.c.published_at.is_(None)
        )
    ).one_or_none()
    if staged is None:
        raise _not_staged(batch_id)
    if not clips:
        return
    ids = [f"{batch_id}-{clip.ordinal:05d}" for clip in clips]
    try:
        _insert_clips.run(
            connection,
            [
                _clip_values(clip_id, batch_id, staged.created_at, clip, waits=bool(staged.after))
                for clip_id, clip in zip(ids, clips, strict=True)
            ],
        )
    except IntegrityError as error:
        raise StaleWrite(
            f"batch {batch_id} cannot take the clips of rows {clips[0].row} to {clips[-1].row}: "
            f"{error.orig}"
        ) from error
    _insert_texts.run(
        connection,
        [
            {
                "clip_id": clip_id,
                "prompt": clip.spec.prompt,
                "negative_prompt": clip.spec.negative_prompt,
                "columns": json_text(dict(clip.columns)),
                "options": json_text(option_values(clip.spec)),
            }
            for clip_id, clip in zip(ids, clips, strict=True)
        ],
    )

    names = {name for clip in clips for name in clip.columns}
    numbers = _column_numbers(connection, staged.joins or batch_id, names)
    _insert_values.run(
        connection,
        [
            {"column_number": numbers[name], "value": indexed(value), "clip_id": clip_id}
            for clip_id, clip in zip(ids, clips, strict=True)
            for name, value in clip.columns.items()
            if value
        ],
    )


def _column_numbers(connection: Connection, batch_id: str, names: set[str]) -> dict[str, int]:
    """The numbers of a batch's own columns, new ones noted."""
    columns = select(t.batch_columns.c.name, t.batch_columns.c.number).where(
        t.batch_columns.c.batch_id == batch_id
    )
    known = {row.name: row.number for row in connection.execute(columns)}
    if new := sorted(names - known.keys()):
        connection.execute(
            insert(t.batch_columns), [{"batch_id": batch_id, "name": name} for name in new]
        )
        known = {row.name: row.number for row in connection.execute(columns)}
    return known


def insert_dependencies(
    connection: Connection, batch_id: str, pairs: Sequence[tuple[int, int]]
) -> None:
    """Add (ordinal, ordinal that it waits for). Raises `NotFound` without a staged batch."""
    staged = select(t.batches.c.number).where(
        t.batches.c.batch_id == batch_id, t.batches.c.published_at.is_(None)
    )
    if connection.scalar(staged) is None:
        raise _not_staged(batch_id)
    _insert_dependencies.run(
        connection,
        [
            {"batch_id": batch_id, "ordinal": ordinal, "on_ordinal": on_ordinal}
            for ordinal, on_ordinal in pairs
        ],
    )


def loras_word(loras: Sequence[LoraUse]) -> str:
    """LoRAs as one word, equal for what a card has loaded alike."""
    return " ".join(f"{lora.name}*{lora.scale:g}" for lora in loras)


def publish(
    connection: Connection, epoch: int, at: float, batch_id: str, request: RequestRow
) -> None:
    """Make a batch visible, or discard it when its request has been answered with another one.

    Raises `RequestConflict`, `NotFound`.
    """
    answered = read_request(connection, request.request_id)
    if answered is not None:
        if answered.digest != request.digest:
            raise request_conflict(request.request_id)
        if answered.batch_id != batch_id:
            delete_staged(connection, batch_id)
        return
    published = connection.execute(
        update(t.batches)
        .where(t.batches.c.batch_id == batch_id, t.batches.c.published_at.is_(None))
        .values(published_at=at)
    ).rowcount
    if published != 1:
        raise _not_staged(batch_id)
    connection.execute(
        insert(t.requests).values(
            request_id=request.request_id,
            digest=request.digest,
            batch_id=request.batch_id,
            result=request.result,
            answered_at=at,
        )
    )
    state = connection.scalar(select(t.batches.c.state).where(t.batches.c.batch_id == batch_id))
    write_batch_event(
        connection, epoch, at, batch_id, EventKind.SUBMIT, "", state or BatchState.OPEN
    )
    _submit_clips(connection, epoch, at, batch_id)
    _count_clips(connection, batch_id)


def delete_staged(connection: Connection, batch_id: str | None = None) -> int:
    """Forget one staged batch, or all of them; returns how many there were."""
    staged = select(t.batches.c.batch_id).where(t.batches.c.published_at.is_(None))
    if batch_id is not None:
        staged = staged.where(t.batches.c.batch_id == batch_id)
    ids = list(connection.scalars(staged))
    for staged_id in ids:
        of_batch = t.clips.c.batch_id == staged_id
        connection.execute(
            delete(t.texts).where(t.texts.c.clip_id.in_(select(t.clips.c.clip_id).where(of_batch)))
        )
        connection.execute(delete(t.clips).where(of_batch))
        values = t.clip_values.c.column_number.in_(
            select(t.batch_columns.c.number).where(t.batch_columns.c.batch_id == staged_id)
        )
        connection.execute(delete(t.clip_values).where(values))
        for table in (t.dependencies, t.batch_columns):
            connection.execute(delete(table).where(table.c.batch_id == staged_id))
        connection.execute(delete(t.batches).where(t.batches.c.batch_id == staged_id))
    return len(ids)


def _clip_values(
    clip_id: str, batch_id: str, created_at: float, clip: NewClip, *, waits: bool
) -> Values:
    spec = clip.spec
    return {
        "clip_id": clip_id,
        "batch_id": batch_id,
        "ordinal": clip.ordinal,
        "file_row": clip.row,
        "name": clip.name,
        "version": clip.version,
        "quality": spec.quality,
        "mode": spec.mode,
        "frames": spec.frames,
        "chunks": chunks_of(spec.frames),
        "height": spec.height,
        "width": spec.width,
        "fps": spec.fps,
        "seed": spec.seed,
        "steps": json_text(spec.steps),
        "guidance_scale": spec.guidance_scale,
        "state": (ClipState.WAITING if clip.waits or waits else ClipState.QUEUED).value,
        "created_at": created_at,
        "loras": loras_word(spec.loras),
        "file_name": clip.file_name,
        "digest": clip.digest,
        "origin_kind": clip.origin.kind if clip.origin else "",
        "origin_clip": clip.origin.clip_id if clip.origin else None,
        "origin_chunks": clip.origin.chunks if clip.origin else 0,
    }


def _submit_clips(connection: Connection, epoch: int, at: float, batch_id: str) -> None:
    """One event for each clip, in the order of the file, in one statement."""
    submitted = (
        select(
            literal(at),
            literal(epoch),
            t.clips.c.batch_id,
            t.clips.c.clip_id,
            literal(EventKind.SUBMIT.value),
            literal(""),
            t.clips.c.state,
            t.clips.c.attempt,
            literal(""),
            literal(""),
        )
        .where(t.clips.c.batch_id == batch_id)
        .order_by(t.clips.c.ordinal)
    )
    columns = [
        "at", "epoch", "batch_id", "clip_id", "kind", "from_state", "to_state", "attempt",
        "card_id", "detail",
    ]  # fmt: skip
    connection.execute(insert(t.events).from_select(columns, submitted))


def _count_clips(connection: Connection, batch_id: str) -> None:
    """A tally for every state, those without clips too, so that later ones are only added to."""
    counted = {
        row.state: row
        for row in connection.execute(
            select(
                t.clips.c.state,
                func.count().label("clips"),
                func.sum(t.clips.c.chunks).label("chunks"),
                func.sum(t.clips.c.chunks_done).label("chunks_done"),
                func.sum(t.clips.c.frames).label("frames"),
            )
            .where(t.clips.c.batch_id == batch_id)
            .group_by(t.clips.c.state)
        )
    }
    rows = []
    for state in ClipState:
        row = counted.get(state.value)
        rows.append(
            {
                "batch_id": batch_id,
                "state": state.value,
                "clips": row.clips if row else 0,
                "chunks": row.chunks if row else 0,
                "chunks_done": row.chunks_done if row else 0,
                "frames": row.frames if row else 0,
            }
        )
    _insert_tallies.run(connection, rows)


def _not_staged(batch_id: str) -> NotFound:
    return NotFound(f"no submission {batch_id} is open: it was published, discarded or never begun")
