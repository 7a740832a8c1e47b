"""The table of usage: sums that are added to, and read by day, month and project."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, case, func, select

from farm.domain.clip import ClipState
from farm.domain.usage import FIELDS, ChunkCosts, More, Usage, UsageRow
from farm.store import tables as t
from farm.store.bulk import adding
from farm.store.commits import blocks
from farm.store.rows import TAKEN_OVER

_add: Final = adding(t.usage)
_NOTHING: Final = dict.fromkeys(FIELDS, 0)
_SUMS: Final = tuple(func.coalesce(func.sum(t.usage.c[name]), 0).label(name) for name in FIELDS)
_PERIODS: Final[dict[str, ColumnElement[Any]]] = {
    "day": t.usage.c.day,
    "month": func.substr(t.usage.c.day, 1, 7),
}


def write_usage(connection: Connection, usage: dict[tuple[str, str], More]) -> None:
    """Add to days and projects."""
    _add.run(
        connection,
        [
            {**_NOTHING, **more, "day": day, "project": project}
            for (day, project), more in usage.items()
        ],
    )


def read_usage(
    connection: Connection,
    *,
    first: str = "",
    last: str = "",
    project: str | None = None,
    by: Collection[str] = (),
) -> list[UsageRow]:
    """Sums from day `first` to day `last`, by a subset of `day`, `month` and `project`, in order.

    By nothing it is one row, also where nothing was used.
    """
    period = next((_PERIODS[name] for name in ("day", "month") if name in by), None)
    parts = [] if period is None else [period.label("period")]
    if "project" in by:
        parts.append(t.usage.c.project.label("of_project"))
    query = select(*parts, *_SUMS).group_by(*parts)
    if first:
        query = query.where(t.usage.c.day >= first)
    if last:
        query = query.where(t.usage.c.day <= last)
    if project is not None:
        query = query.where(t.usage.c.project == project)
    rows = [
        UsageRow(
            period=row.get("period", ""),
            project=row.get("of_project"),
            usage=Usage(**{name: _number(name, row[name]) for name in FIELDS}),
        )
        for row in connection.execute(query).mappings()
    ]
    return sorted(rows, key=lambda row: (row.period, row.project or ""))


def first_day(connection: Connection) -> str:
    """The first day of which anything is known; empty where nothing is."""
    return connection.scalar(select(func.min(t.usage.c.day))) or ""


def read_costs(connection: Connection, clip_ids: Sequence[str]) -> list[ChunkCosts]:
    """What chunks took that were recorded for these clips since they were given up last."""
    joules = t.chunks.c.energy_joules
    given_up = (
        select(func.max(t.events.c.at))
        .where(
            t.events.c.clip_id == t.chunks.c.clip_id,
            t.events.c.to_state.in_([ClipState.FAILED.value, ClipState.CANCELLED.value]),
        )
        .scalar_subquery()
    )
    unmeasured = func.sum(case((joules.is_(None), t.chunks.c.render_seconds), else_=0.0))
    query = (
        select(
            t.clips.c.batch_id,
            t.chunks.c.card_id,
            func.sum(t.chunks.c.render_seconds),
            func.coalesce(func.sum(joules), 0.0),
            unmeasured,
        )
        .join(t.clips, t.clips.c.clip_id == t.chunks.c.clip_id)
        .where(
            t.chunks.c.chunk >= TAKEN_OVER,
            t.chunks.c.recorded_at > func.coalesce(given_up, -1.0),
        )
        .group_by(t.clips.c.batch_id, t.chunks.c.card_id)
    )
    found: list[ChunkCosts] = []
    for block in blocks(clip_ids):
        rows = connection.execute(query.where(t.chunks.c.clip_id.in_(block)))
        found += [ChunkCosts(*row) for row in rows]
    return found


def _number(name: str, value: Any) -> Any:
    """Sums of whole numbers come as decimals from some databases."""
    return int(value) if isinstance(_DEFAULTS[name], int) else float(value)


_DEFAULTS: Final = {name: field.default for name, field in Usage.__dataclass_fields__.items()}
