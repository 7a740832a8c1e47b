"""A figure that says where it comes from, and tables of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from farm.plan.economics import Basis

STRENGTH: Final = (
    Basis.MEASURED,
    Basis.PUBLISHED,
    Basis.CALIBRATED,
    Basis.ESTIMATED,
    Basis.ASSUMED,
)
"""From the best known to the least."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its unit and its origin."""

    value: float
    unit: str
    """`FPS`, `USD`, `W`, …; empty is a plain number."""
    basis: Basis
    source: str
    """Who says so, or the formula."""


def derived(value: float, unit: str, source: str, *inputs: Figure | None) -> Figure:
    """Computed from others: it is known as well as the least known of them."""
    bases = [each.basis for each in inputs if each is not None]
    return Figure(value, unit, weakest(*bases), source)


def weakest(*bases: Basis) -> Basis:
    """The least known of them; `ESTIMATED` of none, which is what arithmetic alone gives."""
    return max(bases, key=STRENGTH.index, default=Basis.ESTIMATED)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table."""

    key: str
    """The same for ever: programs look it up."""
    label: str
    cells: Mapping[str, Figure]
    """By column; what is not known is left out."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Figures of one kind."""

    key: str
    title: str
    columns: Mapping[str, str]
    """Key → heading."""
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    """Formulas and what to bear in mind."""

    def row(self, key: str) -> Row | None:
        """One of its rows."""
        return next((row for row in self.rows if row.key == key), None)

    def cell(self, row: str, column: str = "value") -> Figure | None:
        """One of its figures; None where it is not known."""
        found = self.row(row)
        return found.cells.get(column) if found is not None else None


@dataclass(frozen=True, slots=True)
class Statement:
    """All tables."""

    currency: str
    tables: tuple[Table, ...]

    def table(self, key: str) -> Table | None:
        """One of them, where there is something to say."""
        return next((table for table in self.tables if table.key == key), None)

    def figures(self) -> Iterator[tuple[Table, Row, str, Figure]]:
        """Every figure with its table, row and column."""
        for table in self.tables:
            for row in table.rows:
                for column in table.columns:
                    if column in row.cells:
                        yield table, row, column, row.cells[column]
