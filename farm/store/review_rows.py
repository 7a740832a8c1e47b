"""What people said of takes, from its rows."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from farm.domain.clip import ClipState
from farm.domain.review import Review, ReviewCounts, Verdict
from farm.store import tables as t


def read_reviews(connection: Connection, clip_ids: Sequence[str]) -> dict[str, Review]:
    """The latest review of each clip that has one, by clip id."""
    rows = connection.execute(
        select(t.reviews, t.clips.c.batch_id)
        .join(t.clips, t.clips.c.clip_id == t.reviews.c.clip_id)
        .where(t.reviews.c.clip_id.in_(clip_ids))
        .order_by(t.reviews.c.number)
    )
    return {
        row.clip_id: Review(
            clip_id=row.clip_id,
            batch_id=row.batch_id,
            verdict=Verdict(row.verdict),
            note=row.note,
            reviewer=row.reviewer,
            at=row.at,
        )
        for row in rows
    }


def count_reviews(connection: Connection, batch_ids: Sequence[str]) -> dict[str, ReviewCounts]:
    """Latest takes by verdict: all takes, less those that a version after them has replaced.

    No clips are walked through but those with a verdict, and those with later versions.
    """
    counts = {batch_id: dict.fromkeys(("", *Verdict), 0) for batch_id in batch_ids}
    done = select(t.tallies.c.batch_id, t.tallies.c.clips).where(
        t.tallies.c.batch_id.in_(batch_ids), t.tallies.c.state == ClipState.DONE.value
    )
    for batch_id, clips in connection.execute(done):
        counts[batch_id][""] = clips
    reviewed = (
        select(t.clips.c.batch_id, t.clips.c.verdict, func.count())
        .where(t.clips.c.batch_id.in_(batch_ids), t.clips.c.verdict != "")
        .group_by(t.clips.c.batch_id, t.clips.c.verdict)
    )
    for batch_id, verdict, clips in connection.execute(reviewed):
        counts[batch_id][verdict] += clips
        counts[batch_id][""] -= clips
    later = t.clips.alias("later")
    replaced = (
        select(t.clips.c.batch_id, t.clips.c.verdict, func.count())
        .join(
            later,
            (later.c.batch_id == t.clips.c.batch_id)
            & (later.c.name == t.clips.c.name)
            & (later.c.version == t.clips.c.version + 1),
        )
        .where(
            later.c.batch_id.in_(batch_ids),
            later.c.version > 1,
            t.clips.c.state == ClipState.DONE.value,
        )
        .group_by(t.clips.c.batch_id, t.clips.c.verdict)
    )
    for batch_id, verdict, clips in connection.execute(replaced):
        counts[batch_id][verdict] -= clips
    return {
        batch_id: ReviewCounts(
            awaiting=found[""],
            approved=found[Verdict.APPROVED],
            rejected=found[Verdict.REJECTED],
        )
        for batch_id, found in counts.items()
    }
