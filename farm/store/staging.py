"""Submissions: rows that nobody sees until they are published, all at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import (
    Connection,
    case,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from farm.domain.batch import Batch, BatchState, cancelled
from farm.domain.clip import ClipState, EventKind, chunks_of
from farm.domain.errors import BadDecision, NotFound, StaleWrite
from farm.domain.ledger import AddedClip, RequestRow
from farm.domain.quote import Quote
from farm.domain.spec import LoraUse, NewClip
from farm.store import tables as t
from farm.store import versions
from farm.store.bulk import Values, inserting, json_text
from farm.store.clip_query import indexed
from farm.store.commits import (
    add_tallies,
    request_conflict,
    write_batch_event,
    write_submitted,
)
from farm.store.options import option_values
from farm.store.plan_rows import batch_decisions, batch_terms
from farm.store.rows import read_batch, read_request

_OF_CLIP: Final = [
    "clip_id", "batch_id", "ordinal", "file_row", "name", "version", "quality", "mode", "frames",
    "chunks", "height", "width", "fps", "seed", "steps", "guidance_scale", "state", "created_at",
    "loras", "file_name", "digest", "origin_kind", "origin_clip", "origin_chunks",
]  # fmt: skip
_insert_clips: Final = inserting(t.clips, _OF_CLIP)
_insert_added: Final = inserting(t.clips, [*_OF_CLIP, "chunks_done", "begun_model"])
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
    at, waits = staged.created_at, bool(staged.after)
    try:
        _insert_clips.run(
            connection,
            [
                _clip_values(clip_id, batch_id, at, clip, waits=waits)
                for clip_id, clip in zip(ids, clips, strict=True)
            ],
        )
    except IntegrityError as error:
        raise StaleWrite(
            f"batch {batch_id} cannot take the clips of rows {clips[0].row} to {clips[-1].row}: "
            f"{error.orig}"
        ) from error
    _insert_texts.run(connection, list(map(_text_values, ids, clips)))
    _index_columns(connection, staged.joins or batch_id, ids, clips)


def insert_added(connection: Connection, epoch: int, at: float, added: Sequence[AddedClip]) -> None:
    """Add clips to batches that are published, with what they take over, events and tallies."""
    if not added:
        return
    values = []
    for each in added:
        clip = each.clip
        row = _clip_values(clip.clip_id, clip.batch_id, at, each.row, waits=False)
        begun = {"chunks_done": clip.chunks_done, "begun_model": clip.begun_model}
        values.append({**row, **begun})
    _insert_added.run(connection, values)
    _insert_texts.run(connection, [_text_values(each.clip.clip_id, each.row) for each in added])
    for batch_id in {each.clip.batch_id for each in added}:
        of_batch = [each for each in added if each.clip.batch_id == batch_id]
        ids = [each.clip.clip_id for each in of_batch]
        _index_columns(connection, batch_id, ids, [each.row for each in of_batch])
    versions.copy_chunks(connection, added)
    write_submitted(connection, epoch, at, added)
    connection.execute(
        update(t.batches)
        .where(t.batches.c.batch_id.in_({each.clip.batch_id for each in added}))
        .values(ended_at=None)
    )


def _index_columns(
    connection: Connection, batch_id: str, ids: Sequence[str], clips: Sequence[NewClip]
) -> None:
    """Have clips found by their batch's own columns."""
    names = {name for clip in clips for name in clip.columns}
    numbers = _column_numbers(connection, batch_id, names)
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
    connection: Connection,
    epoch: int,
    at: float,
    batch_id: str,
    request: RequestRow,
    promise: Quote | None = None,
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
    staged = connection.execute(
        select(t.batches.c.joins, t.batches.c.state).where(
            t.batches.c.batch_id == batch_id, t.batches.c.published_at.is_(None)
        )
    ).one_or_none()
    if staged is None:
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
    if staged.joins:
        _join(connection, epoch, at, batch_id, staged.joins)
        return
    connection.execute(
        update(t.batches)
        .where(t.batches.c.batch_id == batch_id)
        .values(published_at=at, promise=promise and promise.values())
    )
    write_batch_event(connection, epoch, at, batch_id, EventKind.SUBMIT, "", staged.state)
    versions.give_takes(connection, at, batch_id, 1)
    _submit_clips(connection, epoch, at, batch_id, 1)
    _insert_tallies.run(connection, _counted(connection, batch_id, 1))
    versions.note_end(connection, epoch, at, batch_id)


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


def _join(connection: Connection, epoch: int, at: float, batch_id: str, target: str) -> None:
    """Move the clips of a staged batch to the end of another one, which takes its place.

    Raises `BadDecision` where that was cancelled, `StaleWrite` where it has got other clips since
    these were given their places and versions.
    """
    found = connection.execute(
        select(t.batches).where(t.batches.c.batch_id == target, t.batches.c.published_at > 0)
    ).one_or_none()
    if found is None:
        raise NotFound(f"there is no batch {target} any more")
    if found.state == BatchState.CANCELLED:
        raise BadDecision(cancelled(read_batch(found)))
    first = connection.scalar(
        select(func.min(t.clips.c.ordinal)).where(t.clips.c.batch_id == batch_id)
    )
    if first is None or first != versions.last_ordinal(connection, target) + 1:
        raise StaleWrite(f"batch {target} got other new versions meanwhile: try again")
    for table in (t.clips, t.dependencies):
        connection.execute(
            update(table).where(table.c.batch_id == batch_id).values(batch_id=target)
        )
    connection.execute(delete(t.batches).where(t.batches.c.batch_id == batch_id))
    connection.execute(
        update(t.batches).where(t.batches.c.batch_id == target).values(ended_at=None)
    )
    write_batch_event(connection, epoch, at, target, "resubmit", found.state, found.state)
    versions.give_takes(connection, at, target, first)
    _submit_clips(connection, epoch, at, target, first)
    add_tallies(connection, _counted(connection, target, first))
    versions.note_end(connection, epoch, at, target)


def _text_values(clip_id: str, clip: NewClip) -> Values:
    return {
        "clip_id": clip_id,
        "prompt": clip.spec.prompt,
        "negative_prompt": clip.spec.negative_prompt,
        "columns": json_text(dict(clip.columns)),
        "options": json_text(option_values(clip.spec)),
    }


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


def _submit_clips(connection: Connection, epoch: int, at: float, batch_id: str, first: int) -> None:
    """One event for each clip from an ordinal on, in the order of the file, in one statement."""
    reused = literal("the take of clip ") + t.clips.c.origin_clip
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
            case((t.clips.c.origin_kind == versions.REUSE, reused), else_=literal("")),
        )
        .where(t.clips.c.batch_id == batch_id, t.clips.c.ordinal >= first)
        .order_by(t.clips.c.ordinal)
    )
    columns = [
        "at", "epoch", "batch_id", "clip_id", "kind", "from_state", "to_state", "attempt",
        "card_id", "detail",
    ]  # fmt: skip
    connection.execute(insert(t.events).from_select(columns, submitted))


def _counted(connection: Connection, batch_id: str, first: int) -> list[Values]:
    """A tally for every state of the clips from an ordinal on; those without clips too, so that
    later ones are only added to."""
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
            .where(t.clips.c.batch_id == batch_id, t.clips.c.ordinal >= first)
            .group_by(t.clips.c.state)
        )
    }
    rows: list[Values] = []
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
    return rows


def _not_staged(batch_id: str) -> NotFound:
    return NotFound(f"no submission {batch_id} is open: it was published, discarded or never begun")
