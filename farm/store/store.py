"""The ledger's write side: the coordinator's alone."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import ColumnElement, Connection, Engine, bindparam, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from farm.domain.batch import Batch, BatchState
from farm.domain.clip import Clip, ClipState
from farm.domain.errors import Fenced, NotFound, StaleWrite
from farm.domain.ledger import (
    ENDS,
    CardRow,
    ChunkRow,
    ClipRow,
    Commit,
    Released,
    RequestRow,
    Steer,
    Totals,
)
from farm.domain.notices import Notice
from farm.domain.quote import Quote
from farm.domain.spec import NewClip
from farm.domain.usage import ChunkCosts
from farm.failpoints import reach
from farm.ports import Store
from farm.store import commits, plan_rows, retention, staging
from farm.store import tables as t
from farm.store.engine import place_of, reading, writer_engine
from farm.store.ledger import SqlLedger
from farm.store.notices import read_notices, write_outcomes
from farm.store.rollout_rows import write_rollouts
from farm.store.rows import (
    CLIP_COLUMNS,
    read_batch,
    read_card,
    read_clip,
    read_clips,
)
from farm.store.schema import upgrade
from farm.store.small_reads import SmallReads
from farm.store.usage import read_costs, write_usage

ROWS_AT_ONCE: Final = 2_000  # in memory while clips are streamed


def open_store(url_or_path: str | Path, *, durable: bool = True) -> SqlStore:
    """The ledger of a path, `sqlite:///…` or `postgresql://…`, made or migrated when needed.

    Without `durable` the machine may lose what a file was told last: for simulations alone.
    Raises `LedgerRefused` for what is not a ledger, or one from a newer version, and
    `LedgerUnavailable`.
    """
    place = place_of(url_or_path)
    engine = writer_engine(url_or_path, durable=durable)
    try:
        upgrade(engine)
    except BaseException:
        engine.dispose()
        raise
    return SqlStore(engine, place if isinstance(place, Path) else None)


class SqlStore(SmallReads):
    """`farm.ports.Store` over a SQL database. Calls may come from several threads."""

    def __init__(self, engine: Engine, file: Path | None = None) -> None:
        """`file` is None for a database of another machine's."""
        self._engine = engine
        self._file = file
        self._reads = reading(engine)
        self._ledger = SqlLedger(self._reads)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def claim_epoch(self, at: float) -> int:
        """The next epoch; every earlier one is fenced from now on."""
        with self._engine.begin() as connection:
            connection.execute(update(t.farm).values(epoch=t.farm.c.epoch + 1, claimed_at=at))
            epoch: int = connection.execute(select(t.farm.c.epoch)).scalar_one()
        return epoch

    def batch(self, batch_id: str) -> Batch:
        """A published batch. Raises `NotFound`."""
        with self._reads.begin() as connection:
            row = connection.execute(
                select(t.batches).where(
                    t.batches.c.batch_id == batch_id, t.batches.c.published_at.is_not(None)
                )
            ).one_or_none()
        if row is None:
            raise NotFound(f"no batch has the id {batch_id!r}")
        return read_batch(row)

    def open_batches(self) -> list[Batch]:
        """Published batches that are not cancelled, in order of creation."""
        with self._reads.begin() as connection:
            rows = connection.execute(
                select(t.batches)
                .where(
                    t.batches.c.published_at.is_not(None),
                    t.batches.c.state != BatchState.CANCELLED.value,
                )
                .order_by(t.batches.c.number)
            )
            return [read_batch(row) for row in rows]

    def clips_in_memory(self, batch_id: str) -> Iterator[Clip]:
        """All clips of a published batch that have not ended, in order, as they are now.

        The transaction lasts as long as the iteration; commits beside it do not wait.
        """
        with self._reads.connect() as connection:
            rows = connection.execution_options(yield_per=ROWS_AT_ONCE).execute(
                select(*CLIP_COLUMNS)
                .where(t.clips.c.batch_id == batch_id, t.clips.c.finished_at.is_(None), _published)
                .order_by(t.clips.c.ordinal)
            )
            yield from read_clips(rows)

    def totals(self) -> Totals:
        """The farm's counters."""
        columns = [column for column in t.totals.c if column.name != "id"]
        with self._reads.begin() as connection:
            return Totals(**connection.execute(select(*columns)).one()._mapping)

    def free_bytes(self) -> int | None:
        """Room where the ledger's file lies; None where that is not known."""
        with suppress(OSError):
            return None if self._file is None else shutil.disk_usage(self._file.parent).free
        return None

    def cards(self) -> list[CardRow]:
        """Every card that was ever heard of, by id."""
        with self._reads.begin() as connection:
            cards = [read_card(row) for row in connection.execute(select(t.cards))]
        return sorted(cards, key=attrgetter("card_id"))  # databases differ in how they sort text

    def counts(self, batch_id: str) -> dict[ClipState, int]:
        """Clips of a published batch by state; states without clips are left out."""
        query = select(t.tallies.c.state, t.tallies.c.clips).where(
            t.tallies.c.batch_id == batch_id, t.tallies.c.clips > 0
        )
        with self._reads.begin() as connection:
            return {ClipState(state): clips for state, clips in connection.execute(query)}

    def unmet(self, batch_id: str) -> dict[int, dict[int, ClipState]]:
        """By ordinal of a clip that has not ended or been let go: the clips without a take that
        it waits for, and their states."""
        on = t.clips.alias()
        query = (
            select(t.dependencies.c.ordinal, t.dependencies.c.on_ordinal, on.c.state)
            .join(
                on,
                (on.c.batch_id == t.dependencies.c.batch_id)
                & (on.c.ordinal == t.dependencies.c.on_ordinal),
            )
            .where(t.dependencies.c.batch_id == batch_id, on.c.state != ClipState.DONE.value)
        )
        found: dict[int, dict[int, ClipState]] = {}
        with self._reads.begin() as connection:
            for ordinal, on_ordinal, state in connection.execute(query):
                found.setdefault(ordinal, {})[on_ordinal] = ClipState(state)
        return found

    def steers(self) -> list[Steer]:
        """Changes of prompt that are still to come, by number."""
        with self._reads.begin() as connection:
            return plan_rows.read_steers(connection)

    def last_steer(self) -> int:
        """The highest number of any change of prompt; 0 is none."""
        with self._reads.begin() as connection:
            return connection.scalar(select(func.max(t.steers.c.number))) or 0

    def commit(self, epoch: int, at: float, commit: Commit) -> None:
        """Write all of it and its events in one transaction; batches' events come first, but for
        their ends, which follow their last clips'.

        Raises `Fenced`; `StaleWrite` when a clip is no longer as `before` says, a take or chunk
        is recorded already, a request is answered already, or a batch is missing;
        `RequestConflict`; ValueError for a commit that contradicts itself.
        """
        commits.check_commit(commit)
        with self._write(epoch) as connection:
            commits.write_requests(connection, at, commit.requests)
            ends = [change for change in commit.batches if change.kind in ENDS]
            decided = [change for change in commit.batches if change.kind not in ENDS]
            commits.write_batches(connection, epoch, at, decided)
            commits.write_clips(connection, epoch, at, commit)
            staging.insert_added(connection, epoch, at, commit.added)
            reach("ledger.commit.middle")
            commits.write_chunks_and_takes(connection, at, commit)
            commits.write_batches(connection, epoch, at, ends)
            commits.write_spent(connection, commit.spent)
            commits.write_reviews(connection, epoch, at, commit.reviews)
            commits.write_totals(connection, commit.totals)
            write_usage(connection, commit.usage)
            commits.write_cards(connection, commit.cards)
            plan_rows.write_plan(connection, epoch, at, commit)
            write_rollouts(connection, commit)
            write_outcomes(connection, at, commit.notices)

    def release(
        self, epoch: int, at: float, *, chunks_before: float, events_before: float, limit: int
    ) -> Released:
        """Let go of the chunks of clips that ended before a time, and of events likewise.

        See `farm.store.retention.release`. Raises `Fenced`.
        """
        with self._write(epoch) as connection:
            return retention.release(
                connection,
                at,
                chunks_before=chunks_before,
                events_before=events_before,
                limit=limit,
            )

    def released(self, clip_ids: Sequence[str]) -> set[str]:
        """Those of the clips whose chunks were let go: they cannot go on."""
        found: set[str] = set()
        with self._reads.begin() as connection:
            for block in commits.blocks(clip_ids):
                found.update(
                    connection.scalars(
                        select(t.clips.c.clip_id).where(
                            t.clips.c.clip_id.in_(block),
                            t.clips.c.released_at.is_not(None),
                            t.clips.c.chunks_done > 0,
                        )
                    )
                )
        return found

    def stage_batch(self, epoch: int, batch: Batch) -> None:
        """Begin a submission. Raises `Fenced`, `StaleWrite` when the id is taken."""
        with self._write(epoch) as connection:
            staging.insert_batch(connection, batch)

    def stage_clips(self, epoch: int, batch_id: str, clips: Sequence[NewClip]) -> None:
        """Add clips to a staged batch, one transaction.

        Raises `Fenced`, `NotFound` when the batch is not staged, `StaleWrite` when it has a
        clip with this place or name.
        """
        with self._write(epoch) as connection:
            staging.insert_clips(connection, batch_id, clips)

    def stage_dependencies(
        self, epoch: int, batch_id: str, pairs: Sequence[tuple[int, int]]
    ) -> None:
        """Add to a staged batch which of its clips wait for which others, by their ordinals.

        Raises `Fenced`, `NotFound` when the batch is not staged.
        """
        with self._write(epoch) as connection:
            staging.insert_dependencies(connection, batch_id, pairs)

    def publish_batch(
        self,
        epoch: int,
        at: float,
        batch_id: str,
        request: RequestRow,
        promise: Quote | None = None,
    ) -> None:
        """Make a staged batch visible, with an event for itself and each clip, in one transaction.

        `promise` is written down with it. When the request was answered before with the same
        digest, the staged copy is discarded and the first answer stays. Raises `Fenced`,
        `RequestConflict`, `NotFound`.
        """
        with self._write(epoch) as connection:
            staging.publish(connection, epoch, at, batch_id, request, promise)

    def discard_batch(self, epoch: int, batch_id: str) -> None:
        """Forget a staged batch; one that is not staged is no error. Raises `Fenced`."""
        with self._write(epoch) as connection:
            staging.delete_staged(connection, batch_id)

    def discard_staged(self, epoch: int) -> int:
        """Forget all staged batches; returns how many. Raises `Fenced`."""
        with self._write(epoch) as connection:
            return staging.delete_staged(connection)

    def clip_rows(self, clip_ids: Sequence[str]) -> dict[str, ClipRow]:
        """These clips, whole."""
        return self._ledger.clip_rows(clip_ids)

    def chunks(self, clip_id: str) -> list[ChunkRow]:
        """A clip's recorded chunks, in order."""
        return self._ledger.chunks(clip_id)

    def versions(self, batch_id: str, names: Collection[str] | None = None) -> dict[str, int]:
        """Name → its highest version in a batch, of these names or of all."""
        return self._ledger.versions(batch_id, names)

    def last_ordinal(self, batch_id: str) -> int:
        """The place of a batch's last clip; 0 where it has none."""
        return self._ledger.last_ordinal(batch_id)

    def chunk_costs(self, clip_ids: Sequence[str]) -> list[ChunkCosts]:
        """What chunks took that were recorded for these clips since they were given up last."""
        with self._reads.begin() as connection:
            return read_costs(connection, clip_ids)

    def notices(self, at: float, limit: int) -> list[Notice]:
        """Notices that are due at a time and that somebody is still to be told of, in order."""
        with self._reads.begin() as connection:
            return read_notices(connection, at, limit)

    def clip(self, clip_id: str) -> Clip | None:
        """One clip of a published batch, ended or not."""
        with self._reads.begin() as connection:
            row = connection.execute(_clip, {"of_clip": clip_id}).one_or_none()
        return None if row is None else read_clip(row)

    def clips_in_states(
        self, batch_id: str, states: Collection[ClipState], names: Collection[str] = ()
    ) -> list[Clip]:
        """Clips of a batch in one of `states`, all of them or those with these names or ids."""
        wanted: list[ColumnElement[bool]] = [
            or_(t.clips.c.name.in_(block), t.clips.c.clip_id.in_(block))
            for block in commits.blocks(list(names))
        ]
        query = select(*CLIP_COLUMNS).where(
            t.clips.c.batch_id == batch_id,
            t.clips.c.state.in_([state.value for state in states]),
            _published,
        )
        found: dict[int, Clip] = {}
        with self._reads.begin() as connection:
            for part in [query.where(some) for some in wanted] or [query]:
                found.update((clip.ordinal, clip) for clip in read_clips(connection.execute(part)))
        return [found[ordinal] for ordinal in sorted(found)]

    @contextmanager
    def _write(self, epoch: int) -> Iterator[Connection]:
        """A transaction that is only entered under the current epoch."""
        try:
            with self._engine.begin() as connection:
                current = connection.execute(_epoch).scalar_one()
                if current != epoch:
                    raise Fenced(
                        f"epoch {epoch} may not write any more: epoch {current} was claimed"
                    )
                yield connection
        except IntegrityError as error:
            raise StaleWrite(f"the ledger holds something else: {error.orig}") from error


_published: Final = (
    select(t.batches.c.number)
    .where(t.batches.c.batch_id == t.clips.c.batch_id, t.batches.c.published_at.is_not(None))
    .exists()
)

# What every exchange asks, built once: to build a statement takes longer than to run it.
_clip: Final = select(*CLIP_COLUMNS).where(t.clips.c.clip_id == bindparam("of_clip"), _published)
_epoch: Final = select(t.farm.c.epoch).with_for_update()
"""Locked until the commit where a database lets writers in side by side."""

if TYPE_CHECKING:

    def _is_the_port(store: SqlStore) -> Store:
        return store
