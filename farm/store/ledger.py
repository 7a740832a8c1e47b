"""The ledger's read side: for gateways, beside the one writer. It sees published batches only."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Engine, Select, bindparam, func, or_, select

from farm.domain.batch import Batch, BatchProgress
from farm.domain.clip import ENDED, ClipState
from farm.domain.errors import AmbiguousName, NotFound
from farm.domain.ledger import (
    ChunkRow,
    ClipRow,
    EventRow,
    FleetEventRow,
    Reusable,
    Steer,
)
from farm.domain.project import Look
from farm.domain.query import ClipQuery
from farm.domain.review import Review, ReviewCounts
from farm.ports import EVERY_CLIP, Ledger
from farm.store import plan_rows, versions
from farm.store import tables as t
from farm.store.clip_query import conditions, superseded
from farm.store.commits import blocks
from farm.store.engine import reader_engine
from farm.store.review_rows import count_reviews, read_reviews
from farm.store.rows import (
    CLIP_COLUMNS,
    read_batch,
    read_chunk,
    read_clip_row,
    read_event,
)
from farm.store.schema import check
from farm.store.small_reads import SmallReads

_published: Final = t.batches.c.published_at.is_not(None)
_chunks: Final = (
    select(t.chunks).where(t.chunks.c.clip_id == bindparam("of_clip")).order_by(t.chunks.c.chunk)
)


def open_ledger(url_or_path: str | Path) -> SqlLedger:
    """The ledger of a path, `sqlite:///…` or `postgresql://…`, which a store has made.

    Raises `LedgerRefused` when there is none, or not one of this version, and `LedgerUnavailable`.
    """
    engine = reader_engine(url_or_path)
    try:
        check(engine)
    except BaseException:
        engine.dispose()
        raise
    return SqlLedger(engine)


class SqlLedger(SmallReads):
    """`farm.ports.Ledger` over a SQL database. Calls may come from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = self._reads = engine

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def find_batch(self, id_or_name: str) -> Batch:
        """By id, or by a name that only one batch has. Raises `NotFound`, `AmbiguousName`."""
        query = select(t.batches).where(_published).order_by(t.batches.c.number)
        with self._engine.begin() as connection:
            rows = connection.execute(query.where(t.batches.c.batch_id == id_or_name)).all()
            if not rows:
                rows = connection.execute(query.where(t.batches.c.name == id_or_name)).all()
        if not rows:
            raise NotFound(f"no batch has the id or name {id_or_name!r}")
        if len(rows) > 1:
            latest = ", ".join(f"{row.batch_id} ({row.project})" for row in rows[:-6:-1])
            raise AmbiguousName(
                f"{len(rows)} batches are named {id_or_name!r}: use an id, the latest are {latest}"
            )
        return read_batch(rows[0])

    def batches(
        self,
        *,
        limit: int,
        before: str = "",
        project: str = "",
        active: bool = False,
        ended_after: float = math.inf,
    ) -> list[Batch]:
        """Published batches, the newest first, after the page that ended with batch `before`.

        Only `active` ones: with open clips, or whose last clip ended after a time.
        Raises `NotFound` when there is no batch `before`.
        """
        query = select(t.batches).where(_published)
        if project:
            query = query.where(t.batches.c.project == project)
        if active:
            query = query.where(or_(_has_open_clips, t.batches.c.ended_at > ended_after))
        with self._engine.begin() as connection:
            if before:
                number = connection.scalar(
                    select(t.batches.c.number).where(t.batches.c.batch_id == before)
                )
                if number is None:
                    raise NotFound(f"no batch has the id {before!r}: begin with the first page")
                query = query.where(t.batches.c.number < number)
            rows = connection.execute(query.order_by(t.batches.c.number.desc()).limit(limit))
            return [read_batch(row) for row in rows]

    def progress(self, batch_ids: Sequence[str]) -> dict[str, BatchProgress]:
        """What has become of each batch's clips; batches that are not there are left out."""
        rows: dict[str, list[Any]] = {}
        with self._engine.begin() as connection:
            for block in blocks(batch_ids):
                for row in connection.execute(
                    select(t.tallies).where(t.tallies.c.batch_id.in_(block))
                ):
                    rows.setdefault(row.batch_id, []).append(row)
        return {batch_id: _progress(rows[batch_id]) for batch_id in batch_ids if batch_id in rows}

    def clips(
        self,
        batch_id: str,
        *,
        limit: int,
        after: int = 0,
        states: Collection[ClipState] = (),
        query: ClipQuery = EVERY_CLIP,
    ) -> list[ClipRow]:
        """Clips in the order of the file, after ordinal `after`.

        Raises `BadDecision` for a column that the batch does not have.
        """
        select_ = _whole_clips().where(t.clips.c.batch_id == batch_id, t.clips.c.ordinal > after)
        if states:
            select_ = select_.where(t.clips.c.state.in_([state.value for state in states]))
        with self._engine.begin() as connection:
            select_ = select_.where(*conditions(connection, batch_id, query))
            rows = connection.execute(select_.order_by(t.clips.c.ordinal).limit(limit))
            return [read_clip_row(row) for row in rows]

    def reviews(self, clip_ids: Sequence[str]) -> dict[str, Review]:
        """The latest review of each of these clips that has one."""
        found: dict[str, Review] = {}
        with self._engine.begin() as connection:
            for block in blocks(clip_ids):
                found |= read_reviews(connection, block)
        return found

    def review_counts(self, batch_ids: Sequence[str]) -> dict[str, ReviewCounts]:
        """Takes of each batch by what was said of them; only latest versions count."""
        with self._engine.begin() as connection:
            return {
                batch_id: counts
                for block in blocks(batch_ids)
                for batch_id, counts in count_reviews(connection, block).items()
            }

    def clip_rows(self, clip_ids: Sequence[str]) -> dict[str, ClipRow]:
        """These clips, whole; those that are not there are left out."""
        found: dict[str, ClipRow] = {}
        with self._engine.begin() as connection:
            for block in blocks(clip_ids):
                for row in connection.execute(_whole_clips().where(t.clips.c.clip_id.in_(block))):
                    found[row.clip_id] = read_clip_row(row)
        return found

    def clip_ids(self, batch_id: str, names: Collection[str]) -> dict[str, str]:
        """Name (its latest version) or id of a clip of this batch → its id; the others left out."""
        found: dict[str, str] = {}
        columns = t.clips.c.clip_id, t.clips.c.name
        with self._engine.begin() as connection:
            for column in reversed(columns):  # of two clips, one named as the other's id: the id
                for block in blocks(list(names)):
                    query = (
                        select(*columns)
                        .where(t.clips.c.batch_id == batch_id, column.in_(block))
                        .order_by(t.clips.c.version)
                    )
                    for row in connection.execute(query):
                        found[row._mapping[column]] = row.clip_id
        return found

    def chunks(self, clip_id: str) -> list[ChunkRow]:
        """Recorded chunks, in order."""
        with self._engine.begin() as connection:
            return [read_chunk(row) for row in connection.execute(_chunks, {"of_clip": clip_id})]

    def versions(self, batch_id: str, names: Collection[str] | None = None) -> dict[str, int]:
        """Name → the highest version of it in a batch, of these names or of all."""
        with self._engine.begin() as connection:
            return versions.latest_versions(connection, batch_id, names)

    def latest(self, batch_id: str, names: Collection[str]) -> dict[str, ClipRow]:
        """Name → its latest version, whole; those that are not there are left out."""
        with self._engine.begin() as connection:
            ids = versions.latest_ids(connection, batch_id, names)
        rows = self.clip_rows(list(ids.values()))
        return {name: rows[clip_id] for name, clip_id in ids.items() if clip_id in rows}

    def last_ordinal(self, batch_id: str) -> int:
        """The place of a batch's last clip; 0 where it has none."""
        with self._engine.begin() as connection:
            return versions.last_ordinal(connection, batch_id)

    def relatives_keys(self, clip_id: str) -> set[str]:
        """Objects that are named by clips which took something over from this one, or it from."""
        with self._engine.begin() as connection:
            return versions.keys_of(connection, versions.relatives(connection, clip_id))

    def reusable(self, project: str, digests: Sequence[str]) -> list[Reusable]:
        """Takes of a project that these digests stand for, the latest last."""
        with self._engine.begin() as connection:
            return versions.reusable(connection, project, digests)

    def events(self, *, after: int, limit: int, batch_id: str = "") -> list[EventRow]:
        """Events after sequence number `after`, in order."""
        query = (
            select(t.events, t.clips.c.name)
            .outerjoin(t.clips, t.clips.c.clip_id == t.events.c.clip_id)
            .where(t.events.c.sequence > after)
            .order_by(t.events.c.sequence)
            .limit(limit)
        )
        if batch_id:
            query = query.where(t.events.c.batch_id == batch_id)
        with self._engine.begin() as connection:
            return [read_event(row) for row in connection.execute(query)]

    def last_sequence(self) -> int:
        """The sequence number of the latest event; 0 where there is none."""
        with self._engine.begin() as connection:
            return connection.scalar(select(func.max(t.events.c.sequence))) or 0

    def delivering(self) -> list[Batch]:
        """Published batches that name a place to be delivered to."""
        query = select(t.batches).where(_published, t.batches.c.deliver_to != "")
        with self._engine.begin() as connection:
            return [read_batch(row) for row in connection.execute(query)]

    def fleet_events(self, target: str, *, limit: int) -> list[FleetEventRow]:
        """The latest decisions about a node or card (of all: ""), the newest first."""
        with self._engine.begin() as connection:
            return plan_rows.read_fleet_events(connection, target, limit)

    def clip_looks(self, clip_ids: Sequence[str]) -> dict[str, Look]:
        """The same for some clips."""
        found: dict[str, Look] = {}
        with self._engine.begin() as connection:
            for block in blocks(clip_ids):
                found |= plan_rows.read_clip_looks(connection, block)
        return found

    def clip_steers(self, clip_ids: Sequence[str]) -> dict[str, list[Steer]]:
        """Changes of prompt that are still to come for some clips, by number."""
        found: dict[str, list[Steer]] = {}
        with self._engine.begin() as connection:
            for block in blocks(clip_ids):
                of_clips = t.steers.c.clip_id.in_(block)
                for steer in plan_rows.read_steers(connection, of_clips):
                    found.setdefault(steer.clip_id, []).append(steer)
        return found

    def project_counts(self) -> dict[str, dict[ClipState, int]]:
        """By project: clips of its published batches by state, states without clips left out."""
        query = (
            select(t.batches.c.project, t.tallies.c.state, func.sum(t.tallies.c.clips))
            .join(t.batches, t.batches.c.batch_id == t.tallies.c.batch_id)
            .where(_published, t.tallies.c.clips > 0)
            .group_by(t.batches.c.project, t.tallies.c.state)
        )
        found: dict[str, dict[ClipState, int]] = {}
        with self._engine.begin() as connection:
            for project, state, clips in connection.execute(query):
                found.setdefault(project, {})[ClipState(state)] = int(clips)
        return found

    def clip_counts(self) -> dict[ClipState, int]:
        """Clips of all published batches by state; every state is there."""
        query = select(t.tallies.c.state, func.sum(t.tallies.c.clips)).group_by(t.tallies.c.state)
        with self._engine.begin() as connection:
            counted: dict[str, int] = {state: int(n) for state, n in connection.execute(query)}
        return {state: counted.get(state.value, 0) for state in ClipState}

    def input_places(self) -> set[str]:
        """What all clips start from that retention has not let go of, staged ones too.

        Reads the options of all of them: for a duty that runs once a day.
        """
        query = (
            select(t.texts.c.options)
            .join(t.clips, t.clips.c.clip_id == t.texts.c.clip_id)
            .where(t.clips.c.released_at.is_(None), t.texts.c.options.is_not(None))
            .execution_options(yield_per=1000)
        )
        found: set[str] = set()
        with self._engine.begin() as connection:
            for options in connection.execute(query).scalars():
                found.update(options[name] for name in ("image", "video") if name in options)
        return found


_has_open_clips: Final = (
    select(t.tallies.c.batch_id)
    .where(
        t.tallies.c.batch_id == t.batches.c.batch_id,
        t.tallies.c.state.not_in([state.value for state in ENDED]),
        t.tallies.c.clips > 0,
    )
    .exists()
)


@cache
def _whole_clips() -> Select[Any]:
    """All of a clip: its row, its texts, its take."""
    take = [column.label(f"take_{column.name}") for column in t.takes.c]
    return (
        select(
            *CLIP_COLUMNS,
            t.clips.c.name,
            t.clips.c.version,
            t.clips.c.file_row,
            t.clips.c.seed,
            t.clips.c.guidance_scale,
            t.clips.c.quality,
            t.clips.c.mode,
            t.clips.c.finished_at,
            t.clips.c.file_name,
            t.clips.c.digest,
            superseded.label("superseded"),
            t.clips.c.origin_kind,
            t.clips.c.origin_clip,
            t.clips.c.origin_chunks,
            t.texts.c.prompt,
            t.texts.c.negative_prompt,
            t.texts.c.columns,
            t.texts.c.options,
            *take,
        )
        .join(t.batches, t.batches.c.batch_id == t.clips.c.batch_id)
        .join(t.texts, t.texts.c.clip_id == t.clips.c.clip_id)
        .outerjoin(t.takes, t.takes.c.clip_id == t.clips.c.clip_id)
        .where(_published)
    )


def _progress(rows: Sequence[Any]) -> BatchProgress:
    live = [row for row in rows if row.state != ClipState.CANCELLED.value]
    return BatchProgress(
        clips={ClipState(row.state): row.clips for row in rows if row.clips},
        chunks=sum(row.chunks for row in live),
        chunks_done=sum(row.chunks_done for row in live),
        frames=sum(row.frames for row in live),
        frames_delivered=sum(row.frames for row in rows if row.state == ClipState.DONE.value),
    )


if TYPE_CHECKING:

    def _is_the_port(ledger: SqlLedger) -> Ledger:
        return ledger
