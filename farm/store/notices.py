"""Notices as rows: written with the events that they tell of, settled by who has told them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, insert, select, update

from farm.domain.notices import Notice, NoticeKind, NoticeOutcome, notice_kind
from farm.store import tables as t
from farm.store.bulk import Bulk, json_text

ERROR_CHARS_MAX: Final = 500

_settle: Final = Bulk(
    update(t.notices)
    .where(t.notices.c.number == bindparam("of_number"))
    .values(
        tries=t.notices.c.tries + bindparam("more_tries"),
        settled=bindparam("settled"),
        next_at=bindparam("next_at"),
        ended_at=bindparam("ended_at"),
        error=bindparam("error"),
    )
)


def write_notice(connection: Connection, at: float, batch_id: str, event: str, detail: str) -> None:
    """Add the notice of a batch's event, where it has one."""
    kind = notice_kind(event)
    if kind is not None:
        row = {"kind": kind.value, "batch_id": batch_id, "detail": detail, "at": at}
        connection.execute(insert(t.notices).values(row))


def write_outcomes(connection: Connection, at: float, outcomes: Sequence[NoticeOutcome]) -> None:
    """Note who has heard of what."""
    _settle.run(
        connection,
        [
            {
                "of_number": each.number,
                "more_tries": 1,
                "settled": json_text(each.settled),
                "next_at": each.retry_at,
                "ended_at": at if each.ended else None,
                "error": each.error[:ERROR_CHARS_MAX],
            }
            for each in outcomes
        ],
    )


def read_notices(connection: Connection, at: float, limit: int) -> list[Notice]:
    """Notices that are due and not ended, the oldest first."""
    columns = t.notices.c
    rows = connection.execute(
        select(t.notices)
        .where(columns.ended_at.is_(None), columns.next_at <= at)
        .order_by(columns.number)
        .limit(limit)
    )
    return [
        Notice(
            number=row.number,
            kind=NoticeKind(row.kind),
            batch_id=row.batch_id,
            detail=row.detail,
            at=row.at,
            tries=row.tries,
            settled=tuple(row.settled or ()),
        )
        for row in rows
    ]
