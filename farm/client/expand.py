"""Rows on their way from a file to the farm: wedges become rows, variables what they stand for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from farm.client.rowfile import Row
from farm.client.submission import Over, Source
from farm.domain.columns import normal
from farm.domain.fill import FILLED, filled
from farm.domain.spec import Problem
from farm.domain.values import BadValue, shown
from farm.domain.wedge import Axes, Cell, axes_of, cells

WEDGE_OPTION = "--wedge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """What rows are expanded by. Names are normalised."""

    file_axes: Axes = field(default_factory=dict)
    """Of all rows; a row's own wedge goes before them."""
    given_axes: Axes = field(default_factory=dict)
    """Of all rows; they go before a row's own."""
    variables: Mapping[str, str] = field(default_factory=dict)
    fills: bool = False
    column_map: Mapping[str, str] = field(default_factory=dict)
    set_fields: Mapping[str, str] = field(default_factory=dict)


class ExpandedRows(Over):
    """A source whose rows are expanded; a `Source` itself. A row's clips keep its number."""

    def __init__(self, source: Source, by: Expansion) -> None:
        super().__init__(source)
        self._by = by
        self._fields: dict[str, str] = {}
        """Column → our field or normalised name."""
        self._mapped = {normal(c): normal(target) for c, target in by.column_map.items()}
        self._fixed = {normal(name): text for name, text in by.set_fields.items()}
        self._added: dict[str, None] = {}
        """Columns that the header lacks, known after the first reading."""
        header = [self._field(column) for column in source.columns]
        self._lacks_ids = bool(header) and "id" not in header
        self._reads_wedges = "wedge" not in self._mapped
        """A column of that name is not the user's own."""
        self._has_wedges = bool(
            by.file_axes or by.given_axes or (self._reads_wedges and "wedge" in header)
        )

    @property
    def columns(self) -> Sequence[str]:
        """The file's header, and what wedges have added to it so far."""
        header = self.source.columns
        return (*header, *(c for c in self._added if c not in header)) if header else ()

    def rows(self) -> Iterator[Row]:
        """All rows in order, each as soon as it is read."""
        for place, (number, row) in enumerate(self.source.rows(), 1):
            told: set[Problem] = set()
            for expanded in self._expanded(place, number, row, told):
                yield number, self._filled(number, expanded, told) if self._by.fills else expanded
            self.problems.extend(sorted(told))

    def _field(self, column: str) -> str:
        found = self._fields.get(column)
        if found is None:
            key = normal(column)
            found = self._mapped.get(key, key)
            if len(self._fields) < 1000:
                self._fields[column] = found
        return found

    def _expanded(
        self, place: int, number: int, row: dict[str, str], told: set[Problem]
    ) -> Iterator[dict[str, str]]:
        columns = {self._field(column): column for column in reversed(row)}
        column = columns.get("wedge", "") if self._reads_wedges else ""
        try:
            axes = self._axes(row.get(column, ""))
            grid = cells(axes)
        except BadValue as bad:
            told.add(Problem(number, column or WEDGE_OPTION, bad.what, bad.remedy))
            axes, grid = {}, iter(())
        if self._lacks_ids and self._has_wedges:
            row = {**row, "id": f"{place:05d}"}
            columns["id"] = "id"
            self._added["id"] = None
        if not axes:
            row.pop(column, None)
            yield row
            return
        base = row.get(columns.get("id", "id"), "").strip() or f"{place:05d}"
        for cell in grid:
            yield self._cell_row(row, columns, base, cell)

    def _axes(self, text: str) -> Axes:
        own = axes_of(text) if text.strip() else {}
        if own is None:
            return {}
        axes = {**self._by.file_axes, **own, **self._by.given_axes}
        if fixed := [axis for axis in axes if axis in self._fixed]:
            what = f"{shown(fixed[0])} is the same for all by --set and an axis of a wedge"
            raise BadValue(what, "keep one of them")
        return axes

    def _cell_row(
        self, row: Mapping[str, str], columns: Mapping[str, str], base: str, cell: Cell
    ) -> dict[str, str]:
        named = {columns.get(axis, axis): value for axis, value in cell.values.items()}
        named[columns.get("id", "id")] = f"{base}.{cell.suffix}"
        named[columns.get("wedge", "wedge")] = cell.label
        named["wedge_of"] = base
        self._added |= dict.fromkeys(named)
        return {**row, **named}

    def _filled(self, number: int, row: dict[str, str], told: set[Problem]) -> dict[str, str]:
        values = {self._field(column): text.strip() for column, text in reversed(row.items())}
        for column in list(row):
            name = self._field(column)
            if name in FILLED and name not in self._fixed:
                others = {key: text for key, text in values.items() if key != name}
                try:
                    row[column] = filled(name, row[column], self._fixed, others, self._by.variables)
                except BadValue as bad:
                    told.add(Problem(number, column, bad.what, bad.remedy))
        return row
