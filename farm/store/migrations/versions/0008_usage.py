"""What was rendered, made and used, by day and project; what cards have rendered and not recorded.

What the ledger knows of the days before is counted into them. Takes tell the delivered frames.
Recorded chunks tell the rendered ones, and over which days a batch's costs are to be spread. Frames
that were rendered and never recorded belong to no day: they stand at the last one, as nobody's.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_WHOLE = (
    "frames_rendered", "frames_delivered", "clips_delivered", "waste_frames", "trimmed_frames",
    "reused_frames",
)  # fmt: skip
_MEASURED = (
    "video_seconds", "card_seconds", "waste_card_seconds", "idle_card_seconds", "joules",
    "measured_joules", "waste_joules", "idle_joules", "money", "waste_money", "idle_money",
)  # fmt: skip

_Sums = dict[tuple[int, str], dict[str, float]]
"""(Day since 1970, project) → sums."""

_TAKES = """
SELECT CAST(k.recorded_at AS BIGINT) / 86400, b.project,
  SUM(c.frames), COUNT(*), SUM(CAST(c.frames AS DOUBLE PRECISION) / c.fps),
  SUM(33 * c.chunks - c.frames),
  SUM(CASE WHEN c.origin_kind = 'reuse' THEN 0 ELSE 33 * c.origin_chunks END)
FROM takes k JOIN clips c ON c.clip_id = k.clip_id JOIN batches b ON b.batch_id = c.batch_id
WHERE c.origin_kind <> 'reuse' OR c.attempt > 0 GROUP BY 1, 2
"""
_CHUNKS = """
SELECT CAST(k.recorded_at AS BIGINT) / 86400, b.project, b.batch_id,
  COUNT(*), SUM(k.render_seconds), SUM(k.energy_joules)
FROM chunks k JOIN clips c ON c.clip_id = k.clip_id JOIN batches b ON b.batch_id = c.batch_id
WHERE (c.origin_kind <> 'reuse' AND k.chunk >= c.origin_chunks)
  OR (c.origin_kind = 'reuse' AND c.attempt > 0) GROUP BY 1, 2, 3
"""
_GIVEN_UP = """
SELECT CAST(c.finished_at AS BIGINT) / 86400, b.project,
  SUM(33 * (c.chunks_done - CASE WHEN c.origin_kind = 'reuse' THEN 0 ELSE c.origin_chunks END))
FROM clips c JOIN batches b ON b.batch_id = c.batch_id
WHERE c.state IN ('failed', 'cancelled') AND c.chunks_done > 0 GROUP BY 1, 2
"""
_SPENT = "SELECT batch_id, spent_seconds, spent_joules, spent_money FROM batches"


def upgrade() -> None:
    """Make the table, and count what is known of the days before."""
    op.create_table(
        "usage",
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        *(_column(name, sa.BigInteger()) for name in _WHOLE),
        *(_column(name, sa.Double()) for name in _MEASURED),
        sa.PrimaryKeyConstraint("day", "project", name="pk_usage"),
    )
    op.add_column("cards", _column("frames_open", sa.BigInteger()))
    sums: _Sums = {}
    _count_takes(sums)
    _count_chunks(sums)
    _count_unrecorded(sums)
    table = sa.table(
        "usage", *(sa.column(name) for name in ("day", "project", *_WHOLE, *_MEASURED))
    )
    nothing = {**dict.fromkeys(_WHOLE, 0), **dict.fromkeys(_MEASURED, 0.0)}
    rows = [
        {**nothing, **values, "day": _iso(day), "project": project}
        for (day, project), values in sums.items()
    ]
    if rows:
        op.bulk_insert(table, rows)


def downgrade() -> None:
    """Forget both."""
    op.drop_column("cards", "frames_open")
    op.drop_table("usage")


def _column(name: str, type_: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, type_, server_default="0", nullable=False)


def _count_takes(sums: _Sums) -> None:
    for day, project, frames, clips, seconds, trimmed, reused in _rows(_TAKES):
        _add(
            sums, day, project, frames_delivered=frames, clips_delivered=clips,
            video_seconds=seconds, trimmed_frames=trimmed, reused_frames=reused,
        )  # fmt: skip
    for day, project, frames in _rows(_GIVEN_UP):
        _add(sums, day, project, waste_frames=frames)


def _count_chunks(sums: _Sums) -> None:
    """Frames by the days of their chunks; a batch's costs in proportion to the seconds."""
    found = _rows(_CHUNKS)
    whole: dict[str, float] = {}
    for _day, _project, batch_id, _chunks, seconds, _joules in found:
        whole[batch_id] = whole.get(batch_id, 0.0) + seconds
    spent = {row[0]: row[1:] for row in _rows(_SPENT)}
    for day, project, batch_id, chunks, seconds, joules in found:
        share = seconds / whole[batch_id] if whole[batch_id] else 0.0
        of_seconds, of_joules, of_money = (share * value for value in spent[batch_id])
        _add(
            sums, day, project, frames_rendered=33 * chunks, card_seconds=of_seconds,
            joules=of_joules, money=of_money, measured_joules=min(joules or 0.0, of_joules),
        )  # fmt: skip


def _count_unrecorded(sums: _Sums) -> None:
    """What the farm's totals have beyond that: frames which were rendered in vain."""
    counted = sum(values.get("frames_rendered", 0) for values in sums.values())
    (rendered,) = _rows("SELECT frames_rendered FROM totals")[0]
    if sums and rendered > counted:
        last = max(day for day, _project in sums)
        more = rendered - counted
        _add(sums, last, "", frames_rendered=more, waste_frames=more)


def _add(sums: _Sums, day: int, project: str, **more: float) -> None:
    of_day = sums.setdefault((day, project), {})
    for name, value in more.items():
        number = int(value) if name in _WHOLE else float(value)
        of_day[name] = of_day.get(name, 0) + number


def _rows(query: str) -> list[Any]:
    return list(op.get_bind().execute(sa.text(query)).all())


def _iso(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()
