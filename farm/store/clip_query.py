"""A query for a batch's clips, as conditions over the ledger's tables.

Own columns are found by the index of their values. Where that does not help, because an empty value
or very many different ones are asked for, they are read out of the JSON that they are kept in, clip
by clip: then a page is soon full.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Text, and_, cast, false, func, or_, select

from farm.domain.columns import edit_distance, normal
from farm.domain.errors import BadDecision
from farm.domain.query import ClipQuery, ColumnMatch
from farm.domain.values import shown
from farm.store import tables as t

OURS: Final[dict[str, ColumnElement[Any]]] = {
    "id": t.clips.c.name,
    "name": t.clips.c.name,
    "version": t.clips.c.version,
    "state": t.clips.c.state,
    "card": func.coalesce(t.clips.c.holder_card, t.takes.c.card_id, ""),
    "prompt": t.texts.c.prompt,
    "negative_prompt": t.texts.c.negative_prompt,
    **{
        name: t.clips.c[name]
        for name in (
            "frames", "width", "height", "fps", "seed", "quality", "mode", "guidance_scale",
            "file_name",
        )
    },
    "size": cast(t.clips.c.width, Text) + "x" + cast(t.clips.c.height, Text),
}  # fmt: skip
"""What can be asked for by our own names; a batch's own column of the same name goes first."""

INDEXED_CHARS: Final = 200
"""Of a value: patterns are compared with no more."""
_VALUES_MAX: Final = 500
"""Values that one pattern may stand for, and clips that are named one by one."""
_CLIPS_MAX: Final = 2000

_later: Final = t.clips.alias("later")
superseded: Final = (
    select(_later.c.clip_id)
    .where(
        _later.c.batch_id == t.clips.c.batch_id,
        _later.c.name == t.clips.c.name,
        _later.c.version > t.clips.c.version,
    )
    .exists()
)
"""A later version of the clip's name is there."""


def conditions(
    connection: Connection, batch_id: str, query: ClipQuery
) -> Iterator[ColumnElement[bool]]:
    """All that a query asks, over clips with their texts and takes. Raises `BadDecision`."""
    if query.verdicts:
        said = [verdict.value for verdict in query.verdicts if verdict is not None]
        reviewed = t.clips.c.verdict.in_(said)
        awaits = and_(t.clips.c.verdict == "", t.clips.c.state == "done")
        yield or_(reviewed, awaits) if None in query.verdicts else reviewed
    if query.latest:
        yield ~superseded
    if query.clips is not None:
        yield t.clips.c.clip_id.in_(_ids(connection, batch_id, list(query.clips)))
    if query.where:
        own: dict[str, dict[str, int]] = {}
        columns = select(t.batch_columns.c.name, t.batch_columns.c.number).where(
            t.batch_columns.c.batch_id == batch_id
        )
        for name, number in connection.execute(columns):
            own.setdefault(normal(name), {})[name] = number
        for match in query.where:
            numbers = own.get(normal(match.column), {}).values()
            found = _by_index(connection, list(numbers), match.values) if numbers else None
            yield or_(*_matches(_column(match, own), match.values)) if found is None else found


def indexed(value: str) -> str:
    """A value as the index has it."""
    return value.casefold()[:INDEXED_CHARS]


def _by_index(
    connection: Connection, numbers: list[int], values: Iterable[str]
) -> ColumnElement[bool] | None:
    """Clips whose columns of these numbers have one of the values; None where it cannot tell."""
    known, wanted = t.clip_values.c, set[str]()
    for value in values:
        if not value.strip("*") or len(value) > INDEXED_CHARS:
            return None
        if "*" not in value:
            wanted.add(indexed(value))
            continue
        like = known.value.like(_pattern(value.casefold()), escape="\\")
        of_columns = select(known.value).where(known.column_number.in_(numbers), like)
        found = connection.scalars(of_columns.distinct().limit(_VALUES_MAX + 1)).all()
        if len(found) > _VALUES_MAX:
            return None
        wanted.update(found)
    fits = known.column_number.in_(numbers) & known.value.in_(wanted)
    clips = connection.scalars(select(known.clip_id).where(fits).limit(_CLIPS_MAX + 1)).all()
    if len(clips) <= _CLIPS_MAX:
        return t.clips.c.clip_id.in_(clips)
    return select(known.clip_id).where(fits, known.clip_id == t.clips.c.clip_id).exists()


def _ids(connection: Connection, batch_id: str, names: list[str]) -> list[str]:
    """Ids of clips by their names, every version, or their ids."""
    of_batch = select(t.clips.c.clip_id).where(t.clips.c.batch_id == batch_id)
    by_name = connection.scalars(of_batch.where(t.clips.c.name.in_(names))).all()
    by_id = connection.scalars(of_batch.where(t.clips.c.clip_id.in_(names))).all()
    return list({*by_name, *by_id})


def _column(match: ColumnMatch, own: dict[str, dict[str, int]]) -> ColumnElement[str]:
    key = normal(match.column)
    if key in own:
        return func.coalesce(*(t.texts.c.columns[name].as_string() for name in own[key]), "")
    if key in OURS:
        return cast(OURS[key], Text)
    known = [*own, *OURS]
    near = min(known, key=lambda name: edit_distance(key, name))
    hint = f"did you mean {near}? " if edit_distance(key, near) <= 2 else ""
    has = ", ".join(sorted(each for names in own.values() for each in names)[:30]) or "none"
    raise BadDecision(
        f"the batch has no column {shown(match.column)}: {hint}its own are {has}; "
        f"besides them {', '.join(OURS)}"
    )


def _matches(column: ColumnElement[str], values: Iterable[str]) -> Iterator[ColumnElement[bool]]:
    """The column has one of the values, in any case."""
    folded, plain = func.lower(column), set[str]()
    for value in values:
        if "*" in value:
            yield from (folded.like(_pattern(each), escape="\\") for each in _cases(value))
        else:
            plain |= _cases(value)
    yield folded.in_(plain) if plain else false()


def _cases(value: str) -> set[str]:
    """A value as `lower` may make of it: SQLite's knows ASCII alone."""
    spellings = {value, value.lower(), value.upper(), value.title(), value.capitalize()}
    return {value.lower(), *(_ascii_lower(each) for each in spellings)}


def _ascii_lower(value: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in value)


def _pattern(value: str) -> str:
    for special in ("\\", "%", "_"):
        value = value.replace(special, f"\\{special}")
    return value.replace("*", "%")
