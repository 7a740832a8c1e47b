"""Rows of the tables as the domain's records, and back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Text, case, cast, select

from farm.domain.batch import Batch, BatchState
from farm.domain.clip import Clip, ClipState, Holder, Work
from farm.domain.fleet import Standing
from farm.domain.ledger import (
    CardRow,
    ChunkRow,
    ClipRow,
    EventRow,
    RequestRow,
    StoredObject,
    TakeRow,
)
from farm.domain.names import safe_stem
from farm.domain.quote import Quote, Spent
from farm.domain.spec import ClipSpec, Origin
from farm.store import tables as t
from farm.store.bulk import Values, json_text
from farm.store.options import mark_values, options_of, read_marks
from farm.store.plan_rows import read_decisions

CHUNK_OBJECTS: Final = ("segment", "init", "negative", "embeddings")
"""The objects of a chunk, in the order in which they are read back."""

_OF_CARD: Final = [f.name for f in dataclasses.fields(CardRow)]
_STATES: Final = {state.value: state for state in ClipState}

TAKEN_OVER: Final = case(
    (t.clips.c.origin_kind == "reuse", 0), else_=t.clips.c.origin_chunks
).label("taken_over")
"""Chunks that a clip has of another one. Who was to have a take that was gone has none."""

CLIP_COLUMNS: Final[tuple[ColumnElement[Any], ...]] = (
    t.clips.c.clip_id,
    t.clips.c.batch_id,
    t.clips.c.ordinal,
    t.clips.c.frames,
    t.clips.c.height,
    t.clips.c.width,
    cast(t.clips.c.steps, Text).label("steps_text"),
    t.clips.c.state,
    t.clips.c.attempt,
    t.clips.c.chunks_done,
    t.clips.c.losses,
    t.clips.c.failures,
    t.clips.c.storage_failures,
    t.clips.c.blocked,
    t.clips.c.input_failed,
    t.clips.c.holder_card,
    t.clips.c.holder_incarnation,
    t.clips.c.reason,
    t.clips.c.loras,
    t.clips.c.quality,
    t.clips.c.fps,
    TAKEN_OVER,
    t.clips.c.begun_model,
    t.clips.c.begun_stack,
)
"""What a `Clip` is made of, in the order in which `read_clips` takes it."""


def read_clips(rows: Iterable[Sequence[Any]]) -> Iterator[Clip]:
    """Clips from rows of `CLIP_COLUMNS`; equal work and words become one object."""
    works: dict[tuple[int, int, str | None], Work] = {}
    words: dict[str, str] = {}
    for row in rows:
        (
            clip_id, batch_id, ordinal, frames, height, width, steps, state, attempt, chunks_done,
            losses, failures, storage_failures, blocked, input_failed, card, incarnation, reason,
            loras, quality, fps, taken_over, begun_model, begun_stack,
        ) = row  # fmt: skip
        work = works.get((height, width, steps))
        if work is None:
            work = works[height, width, steps] = Work(height, width, _numbers(steps))
        yield Clip(
            clip_id=clip_id,
            batch_id=words.setdefault(batch_id, batch_id),
            ordinal=ordinal,
            frames=frames,
            work=work,
            state=_STATES[state],
            attempt=attempt,
            chunks_done=chunks_done,
            losses=losses,
            failures=failures,
            storage_failures=storage_failures,
            blocked=tuple(blocked) if blocked else (),
            input_failed=tuple(input_failed) if input_failed else (),
            holder=None if card is None else Holder(card, incarnation),
            reason=reason,
            loras=words.setdefault(loras, loras),
            quality=words.setdefault(quality, quality),
            fps=fps,
            taken_over=taken_over,
            begun_model=words.setdefault(begun_model, begun_model),
            begun_stack=words.setdefault(begun_stack, begun_stack),
        )


def read_clip(row: Row[Any]) -> Clip:
    """The clip of one row that begins with `CLIP_COLUMNS`."""
    return next(read_clips((row[: len(CLIP_COLUMNS)],)))


def read_batch(row: Row[Any]) -> Batch:
    """A batch from a row of its table."""
    return Batch(
        batch_id=row.batch_id,
        name=row.name,
        project=row.project,
        created_at=row.created_at,
        state=BatchState(row.state),
        reason=row.reason,
        promise=Quote.of_values(row.promise) if row.promise else None,
        spent=Spent(row.spent_seconds, row.spent_joules, row.spent_money),
        **read_decisions(row),
    )


def read_chunk(row: Row[Any]) -> ChunkRow:
    """A chunk from a row of its table."""
    objects = tuple(
        _object(row._mapping, kind, kind)
        for kind in CHUNK_OBJECTS
        if row._mapping[f"{kind}_key"] is not None
    )
    return ChunkRow(
        clip_id=row.clip_id,
        chunk=row.chunk,
        attempt=row.attempt,
        card_id=row.card_id,
        frames=row.frames,
        render_seconds=row.render_seconds,
        encode_seconds=row.encode_seconds,
        objects=objects,
        energy_joules=row.energy_joules,
        lanes=row.lanes,
        steered=read_marks(row.steered),
        profile=row.profile,
    )


def read_clip_row(row: Row[Any]) -> ClipRow:
    """A whole clip from `CLIP_COLUMNS`, its table, its texts, and its take as `take_…`."""
    value = row._mapping
    clip = read_clip(row)
    return ClipRow(
        clip=clip,
        name=value["name"],
        version=value["version"],
        row=value["file_row"],
        spec=ClipSpec(
            prompt=value["prompt"],
            negative_prompt=value["negative_prompt"],
            frames=clip.frames,
            height=clip.work.height,
            width=clip.work.width,
            fps=value["fps"],
            seed=value["seed"],
            steps=clip.work.steps,
            guidance_scale=value["guidance_scale"],
            quality=clip.quality,
            mode=value["mode"],
            **options_of(value["options"]),
        ),
        columns=value["columns"] or {},
        take=_take(clip.clip_id, value),
        finished_at=value["finished_at"],
        file_name=value["file_name"] or safe_stem(value["name"], value["version"]),
        digest=value["digest"],
        origin=_origin(value),
        latest=not value["superseded"],
    )


def _origin(value: Mapping[Any, Any]) -> Origin | None:
    if not value["origin_kind"]:
        return None
    return Origin(value["origin_kind"], value["origin_clip"], value["origin_chunks"])


def read_event(row: Row[Any]) -> EventRow:
    """An event from a row of its table and its clip's `name`."""
    return EventRow(
        sequence=row.sequence,
        at=row.at,
        epoch=row.epoch,
        batch_id=row.batch_id,
        clip_id=row.clip_id or "",
        clip_name=row.name or "",
        kind=row.kind,
        from_state=row.from_state,
        to_state=row.to_state,
        attempt=row.attempt,
        card_id=row.card_id,
        detail=row.detail,
    )


def read_request(connection: Connection, request_id: str) -> RequestRow | None:
    """The answer that a request got."""
    row = connection.execute(
        select(t.requests).where(t.requests.c.request_id == request_id)
    ).one_or_none()
    if row is None:
        return None
    return RequestRow(row.request_id, row.digest, row.batch_id, row.result)


def read_card(row: Row[Any]) -> CardRow:
    """A card from a row of its table."""
    values = dict(row._mapping)
    del values["profile"]
    for name in ("tags", "profiles", "models"):
        values[name] = tuple(values[name] or ())
    values["releases"] = tuple((values["releases"] or {}).items())
    return CardRow(**{**values, "standing": Standing(row.standing)})


def card_values(card: CardRow) -> Values:
    """A card's row."""
    return {
        **{name: getattr(card, name) for name in _OF_CARD},
        "tags": json_text(card.tags),
        "profile": next(iter(card.profiles), ""),
        "profiles": json_text(card.profiles),
        "models": json_text(card.models),
        "releases": json_text(dict(card.releases)),
        "standing": card.standing.value,
    }


def chunk_values(chunk: ChunkRow, at: float) -> Values:
    """A chunk's row. Raises ValueError for an object that no chunk has."""
    values: Values = {
        "clip_id": chunk.clip_id,
        "chunk": chunk.chunk,
        "attempt": chunk.attempt,
        "card_id": chunk.card_id,
        "frames": chunk.frames,
        "render_seconds": chunk.render_seconds,
        "encode_seconds": chunk.encode_seconds,
        "recorded_at": at,
        "energy_joules": chunk.energy_joules,
        "steered": json_text(mark_values(chunk.steered)),
        "lanes": chunk.lanes,
        "profile": chunk.profile,
    }
    objects = {stored.kind: stored for stored in chunk.objects}
    if len(objects) != len(chunk.objects) or not objects.keys() <= set(CHUNK_OBJECTS):
        kinds = ", ".join(stored.kind for stored in chunk.objects)
        raise ValueError(
            f"chunk {chunk.chunk} of clip {chunk.clip_id} has the objects {kinds}: "
            f"a chunk has at most one of each of {', '.join(CHUNK_OBJECTS)}"
        )
    for kind in CHUNK_OBJECTS:
        values.update(_object_values(objects.get(kind), kind))
    return values


def take_values(take: TakeRow, at: float) -> Values:
    """A take's row."""
    return {
        "clip_id": take.clip_id,
        "attempt": take.attempt,
        "card_id": take.card_id,
        "frames": take.frames,
        "model_digest": take.model_digest,
        "stack_id": take.stack_id,
        "recorded_at": at,
        **_object_values(take.video, "video"),
        **_object_values(take.sidecar, "sidecar"),
    }


def _numbers(steps: str | None) -> tuple[int, ...]:
    return () if steps is None else tuple(json.loads(steps))


def _object_values(stored: StoredObject | None, prefix: str) -> Values:
    if stored is None:
        return {f"{prefix}_key": None, f"{prefix}_sha256": None, f"{prefix}_size": None}
    return {
        f"{prefix}_key": stored.key,
        f"{prefix}_sha256": stored.sha256,
        f"{prefix}_size": stored.size_bytes,
    }


def _object(value: Mapping[Any, Any], prefix: str, kind: str) -> StoredObject:
    return StoredObject(
        kind=kind,
        key=value[f"{prefix}_key"],
        sha256=value[f"{prefix}_sha256"],
        size_bytes=value[f"{prefix}_size"],
    )


def _take(clip_id: str, value: Mapping[Any, Any]) -> TakeRow | None:
    if value["take_video_key"] is None:
        return None
    return TakeRow(
        clip_id=clip_id,
        attempt=value["take_attempt"],
        card_id=value["take_card_id"],
        frames=value["take_frames"],
        model_digest=value["take_model_digest"],
        stack_id=value["take_stack_id"],
        video=_object(value, "take_video", "take"),
        sidecar=_object(value, "take_sidecar", "sidecar"),
    )
