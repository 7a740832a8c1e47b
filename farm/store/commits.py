"""The pieces of one commit, each a bulk statement inside the caller's transaction."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, null, select, update

from farm.domain.clip import Clip, ClipState, EventKind
from farm.domain.errors import RequestConflict, StaleWrite
from farm.domain.ledger import (
    AddedClip,
    BatchChange,
    CardRow,
    ClipChange,
    Commit,
    RequestRow,
    Totals,
)
from farm.domain.quote import Spent
from farm.domain.review import EVENT as REVIEW_EVENT
from farm.domain.review import Review
from farm.store import tables as t
from farm.store.bulk import Bulk, Values, inserting, json_text, putting
from farm.store.notices import write_notice
from farm.store.plan_rows import batch_decisions
from farm.store.rows import card_values, chunk_values, take_values

BLOCK: Final = 500
"""Values in one `IN (…)`; databases have a limit on parameters."""

_swap: Final = Bulk(
    update(t.clips)
    .where(
        t.clips.c.clip_id == bindparam("was_clip_id"),
        t.clips.c.state == bindparam("was_state"),
        t.clips.c.attempt == bindparam("was_attempt"),
        t.clips.c.chunks_done == bindparam("was_chunks_done"),
    )
    .values(
        state=bindparam("state"),
        attempt=bindparam("attempt"),
        chunks_done=bindparam("chunks_done"),
        losses=bindparam("losses"),
        failures=bindparam("failures"),
        storage_failures=bindparam("storage_failures"),
        blocked=bindparam("blocked"),
        input_failed=bindparam("input_failed"),
        holder_card=bindparam("holder_card"),
        holder_incarnation=bindparam("holder_incarnation"),
        reason=bindparam("reason"),
        begun_model=bindparam("begun_model"),
        begun_stack=bindparam("begun_stack"),
        model_digest=func.coalesce(bindparam("take_model_digest"), t.clips.c.model_digest),
        stack_id=func.coalesce(bindparam("take_stack_id"), t.clips.c.stack_id),
        finished_at=bindparam("finished_at"),
        released_at=null(),
    )
)

_insert_chunks: Final = inserting(t.chunks)
_insert_takes: Final = inserting(t.takes)
_insert_requests: Final = inserting(t.requests)
_put_cards: Final = putting(t.cards)
_insert_events: Final = inserting(
    t.events, [column.name for column in t.events.c if column.name != "sequence"]
)

_insert_reviews: Final = inserting(
    t.reviews, [column.name for column in t.reviews.c if column.name != "number"]
)
_set_verdicts: Final = Bulk(
    update(t.clips)
    .where(t.clips.c.clip_id == bindparam("of_clip"))
    .values(verdict=bindparam("said"))
)

_update_totals: Final = Bulk(
    update(t.totals).values({f.name: bindparam(f.name) for f in dataclasses.fields(Totals)})
)

_tally: Final = Bulk(
    update(t.tallies)
    .where(
        t.tallies.c.batch_id == bindparam("of_batch"), t.tallies.c.state == bindparam("of_state")
    )
    .values(
        clips=t.tallies.c.clips + bindparam("add_clips"),
        chunks=t.tallies.c.chunks + bindparam("add_chunks"),
        chunks_done=t.tallies.c.chunks_done + bindparam("add_chunks_done"),
        frames=t.tallies.c.frames + bindparam("add_frames"),
    )
)


_spend: Final = Bulk(
    update(t.batches)
    .where(t.batches.c.batch_id == bindparam("of_batch"))
    .values(
        spent_seconds=t.batches.c.spent_seconds + bindparam("more_seconds"),
        spent_joules=t.batches.c.spent_joules + bindparam("more_joules"),
        spent_money=t.batches.c.spent_money + bindparam("more_money"),
    )
)


def check_commit(commit: Commit) -> None:
    """Raise ValueError for a commit that would break the ledger's promises.

    A take comes with the event that ends its clip, and a chunk with the one that counts it:
    that is what makes "one row for each delivered clip" true.
    """
    done = Counter(c.after.clip_id for c in commit.clips if c.kind is EventKind.DONE)
    if done != Counter(take.clip_id for take in commit.takes):
        raise ValueError(f"takes and finished clips differ: {sorted(done)}")
    counted = Counter(
        (c.after.clip_id, c.before.chunks_done) for c in commit.clips if c.kind is EventKind.CHUNK
    )
    if counted != Counter((chunk.clip_id, chunk.chunk) for chunk in commit.chunks):
        raise ValueError(f"recorded chunks and counted chunks differ: {sorted(counted)}")


def write_requests(connection: Connection, at: float, requests: Sequence[RequestRow]) -> None:
    """Remember answers. Raises `RequestConflict` or, for the same payload, `StaleWrite`."""
    for request in requests:
        digest = connection.scalar(
            select(t.requests.c.digest).where(t.requests.c.request_id == request.request_id)
        )
        if digest is not None and digest != request.digest:
            raise request_conflict(request.request_id)
        if digest is not None:
            raise StaleWrite(f"request {request.request_id} has been answered already")
        _insert_requests.run(connection, [{**_fields(request), "answered_at": at}])


def request_conflict(request_id: str) -> RequestConflict:
    """The error for an id that was used for another payload."""
    return RequestConflict(
        f"request {request_id} was used before with another payload: use a new request_id"
    )


def write_batches(
    connection: Connection, epoch: int, at: float, changes: Sequence[BatchChange]
) -> None:
    """Write decisions and their events. Raises `StaleWrite` for a batch that is not there."""
    for change in changes:
        after = change.after
        known = t.batches.c.batch_id == after.batch_id
        before = connection.scalar(
            select(t.batches.c.state).where(known, t.batches.c.published_at.is_not(None))
        )
        if before is None:
            raise StaleWrite(f"there is no batch {after.batch_id}")
        connection.execute(update(t.batches).where(known).values(**batch_decisions(after)))
        write_batch_event(
            connection, epoch, at, after.batch_id, change.kind, before, after.state, change.detail
        )
        write_notice(connection, at, after.batch_id, change.kind, change.detail)


def write_batch_event(
    connection: Connection,
    epoch: int,
    at: float,
    batch_id: str,
    kind: str,
    from_state: str,
    to_state: str,
    detail: str = "",
) -> None:
    """Add an event that concerns a batch as a whole."""
    event = {
        "at": at, "epoch": epoch, "batch_id": batch_id, "clip_id": None, "kind": str(kind),
        "from_state": str(from_state), "to_state": str(to_state),
        "attempt": 0, "card_id": "", "detail": detail,
    }  # fmt: skip
    _insert_events.run(connection, [event])


def write_clips(connection: Connection, epoch: int, at: float, commit: Commit) -> None:
    """Swap in clips, with their events and tallies. Raises `StaleWrite`."""
    if not commit.clips:
        return
    takes = {take.clip_id: take for take in commit.takes}
    values = []
    for change in commit.clips:
        take = takes.get(change.after.clip_id) if change.kind is EventKind.DONE else None
        values.append(
            {
                **_swap_values(change, at),
                "take_model_digest": take.model_digest if take else None,
                "take_stack_id": take.stack_id if take else None,
            }
        )
    swapped = _swap.run(connection, values)
    if swapped != len(values):
        raise StaleWrite(
            f"{len(values) - swapped} of {len(values)} clip changes started from a state that "
            "the ledger does not hold; nothing was written"
        )
    _insert_events.run(connection, [_event(change, epoch, at) for change in commit.clips])
    _write_tallies(connection, commit.clips)


def write_submitted(
    connection: Connection, epoch: int, at: float, added: Sequence[AddedClip]
) -> None:
    """Events and tallies of clips that were added to their batches."""
    events = [
        {
            "at": at, "epoch": epoch, "batch_id": each.clip.batch_id,
            "clip_id": each.clip.clip_id, "kind": EventKind.SUBMIT.value, "from_state": "",
            "to_state": each.clip.state.value, "attempt": 0, "card_id": "",
            "detail": each.detail,
        }
        for each in added
    ]  # fmt: skip
    _insert_events.run(connection, events)
    moved: dict[tuple[str, ClipState], list[int]] = {}
    for each in added:
        _move(moved, each.clip, 1)
    _run_tallies(connection, moved)


def write_chunks_and_takes(connection: Connection, at: float, commit: Commit) -> None:
    """Record what was verified."""
    _insert_chunks.run(connection, [chunk_values(chunk, at) for chunk in commit.chunks])
    _insert_takes.run(connection, [take_values(take, at) for take in commit.takes])


def write_spent(connection: Connection, spent: Mapping[str, Spent]) -> None:
    """Add to what batches have cost."""
    rows: list[Values] = [
        {
            "of_batch": batch_id,
            "more_seconds": more.card_seconds,
            "more_joules": more.joules,
            "more_money": more.money,
        }
        for batch_id, more in spent.items()
    ]
    _spend.run(connection, rows)


def write_reviews(connection: Connection, epoch: int, at: float, reviews: Sequence[Review]) -> None:
    """Add what was said of takes, with its events; a clip repeats the last verdict."""
    _insert_reviews.run(
        connection,
        [
            {
                "clip_id": review.clip_id, "verdict": review.verdict.value, "note": review.note,
                "reviewer": review.reviewer, "at": review.at,
            }
            for review in reviews
        ],
    )  # fmt: skip
    _set_verdicts.run(
        connection,
        [{"of_clip": review.clip_id, "said": review.verdict.value} for review in reviews],
    )
    done = ClipState.DONE.value
    _insert_events.run(
        connection,
        [
            {
                "at": at, "epoch": epoch, "batch_id": review.batch_id, "clip_id": review.clip_id,
                "kind": REVIEW_EVENT, "from_state": done, "to_state": done,
                "attempt": review.attempt, "card_id": "", "detail": review.told,
            }
            for review in reviews
        ],
    )  # fmt: skip


def write_totals(connection: Connection, totals: Totals | None) -> None:
    """Replace the counters."""
    if totals is not None:
        _update_totals.run(connection, [_fields(totals)])


def write_cards(connection: Connection, cards: Sequence[CardRow]) -> None:
    """Add or replace cards; of several rows for one card the last counts."""
    _put_cards.run(connection, [card_values(card) for card in cards])


def blocks(values: Sequence[str]) -> Iterable[Sequence[str]]:
    """`values` in pieces that fit into one statement."""
    return (values[start : start + BLOCK] for start in range(0, len(values), BLOCK))


def _swap_values(change: ClipChange, at: float) -> Values:
    before, after = change.before, change.after
    holder = after.holder
    return {
        "was_clip_id": before.clip_id,
        "was_state": before.state.value,
        "was_attempt": before.attempt,
        "was_chunks_done": before.chunks_done,
        "state": after.state.value,
        "attempt": after.attempt,
        "chunks_done": after.chunks_done,
        "losses": after.losses,
        "failures": after.failures,
        "storage_failures": after.storage_failures,
        "blocked": json_text(after.blocked),
        "input_failed": json_text(after.input_failed),
        "holder_card": holder.card_id if holder else None,
        "holder_incarnation": holder.incarnation if holder else None,
        "reason": after.reason,
        "begun_model": after.begun_model,
        "begun_stack": after.begun_stack,
        "finished_at": at if after.ended else None,
    }


def _event(change: ClipChange, epoch: int, at: float) -> Values:
    return {
        "at": at,
        "epoch": epoch,
        "batch_id": change.after.batch_id,
        "clip_id": change.after.clip_id,
        "kind": change.kind.value,
        "from_state": change.before.state.value,
        "to_state": change.after.state.value,
        "attempt": change.after.attempt,
        "card_id": change.card_id,
        "detail": change.detail,
    }


def _write_tallies(connection: Connection, changes: Iterable[ClipChange]) -> None:
    moved: dict[tuple[str, ClipState], list[int]] = {}
    for change in changes:
        _move(moved, change.before, -1)
        _move(moved, change.after, 1)
    _run_tallies(connection, moved)


def _move(moved: dict[tuple[str, ClipState], list[int]], clip: Clip, sign: int) -> None:
    tally = moved.setdefault((clip.batch_id, clip.state), [0, 0, 0, 0])
    for place, amount in enumerate(_counts(clip)):
        tally[place] += sign * amount


def _run_tallies(connection: Connection, moved: dict[tuple[str, ClipState], list[int]]) -> None:
    rows: list[Values] = [
        {
            "of_batch": batch_id, "of_state": state.value, "add_clips": tally[0],
            "add_chunks": tally[1], "add_chunks_done": tally[2], "add_frames": tally[3],
        }
        for (batch_id, state), tally in moved.items()
        if any(tally)
    ]  # fmt: skip
    if _tally.run(connection, rows) != len(rows):
        raise StaleWrite("a batch without tallies: it was not published")


def add_tallies(connection: Connection, rows: Sequence[Values]) -> None:
    """Add rows of the tallies' table to those that are there."""
    counted = ("clips", "chunks", "chunks_done", "frames")
    _tally.run(
        connection,
        [
            {"of_batch": row["batch_id"], "of_state": row["state"]}
            | {f"add_{name}": row[name] for name in counted}
            for row in rows
        ],
    )


def _counts(clip: Clip) -> tuple[int, int, int, int]:
    return 1, clip.chunks, clip.chunks_done, clip.frames


def _fields(record: Any) -> Values:
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
