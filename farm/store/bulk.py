"""Statements for many rows at once.

SQLAlchemy compiles them, for any database; the rows then go to the driver directly, since the
processing of each parameter would cost more than the database does. So values have to be what
the driver takes: no enums, and JSON as text (`json_text`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Insert, Table, Update, insert
from sqlalchemy.dialects import postgresql, sqlite

Values = dict[str, Any]
"""Parameter name → value, for one row."""

_Make = Callable[[Values], Any]


class Bulk:
    """An INSERT or UPDATE with its parameters by name."""

    def __init__(
        self,
        statement: Insert | Update | Mapping[str, Insert],
        names: Sequence[str] | None = None,
    ) -> None:
        """`names`: the columns of an INSERT; an UPDATE names its parameters itself.

        A mapping has a statement for each database, by the name of its dialect.
        """
        self._statement = statement
        self._names = None if names is None else list(names)
        self._compiled: dict[str, tuple[str, _Make]] = {}

    def run(self, connection: Connection, rows: Sequence[Values]) -> int:
        """Execute it for each row, in order; returns how many rows of the table it changed."""
        if not rows:
            return 0
        text, make = self._for(connection)
        return connection.exec_driver_sql(text, [make(row) for row in rows]).rowcount

    def _for(self, connection: Connection) -> tuple[str, _Make]:
        known = self._compiled.get(connection.dialect.name)
        if known is None:
            dialect, statement = connection.dialect, self._statement
            if isinstance(statement, Mapping):
                statement = statement[dialect.name]
            compiled = statement.compile(dialect=dialect, column_keys=self._names)
            # Two names at least, or itemgetter would not give tuples; every statement has them.
            # A driver that takes parameters by name takes those that a row has too many as well.
            make: _Make = itemgetter(*compiled.positiontup) if compiled.positiontup else _as_it_is
            known = self._compiled[connection.dialect.name] = (str(compiled), make)
        return known


def _as_it_is(row: Values) -> Values:
    return row


def inserting(table: Table, names: Sequence[str] | None = None) -> Bulk:
    """INSERT into all columns of `table`, or into these."""
    return Bulk(
        insert(table).inline(), [column.name for column in table.c] if names is None else names
    )


def putting(table: Table) -> Bulk:
    """INSERT into all columns of `table`; a row with the same key is replaced.

    So of several rows for one key the last counts.
    """
    keys = list(table.primary_key.columns)
    statements = {}
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql)):
        put = dialect.insert(table).inline()
        new = {c.name: put.excluded[c.name] for c in table.c if not c.primary_key}
        statements[name] = put.on_conflict_do_update(index_elements=keys, set_=new)
    return Bulk(statements, [column.name for column in table.c])


def adding(table: Table) -> Bulk:
    """INSERT into all columns of `table`; to a row with the same key the numbers are added."""
    keys = list(table.primary_key.columns)
    statements = {}
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql)):
        put = dialect.insert(table).inline()
        sums = {c.name: c + put.excluded[c.name] for c in table.c if not c.primary_key}
        statements[name] = put.on_conflict_do_update(index_elements=keys, set_=sums)
    return Bulk(statements, [column.name for column in table.c])


def json_text(value: object) -> str | None:
    """What a JSON column takes; NULL for what is empty."""
    return json.dumps(value, ensure_ascii=False) if value else None
