"""What `farm economics` prints: tables whose every figure says where it comes from."""

from __future__ import annotations

import csv
import io
from typing import Any, Final

from farm.cli import output
from farm.plan.money.figure import Statement, Table
from farm.plan.money.words import amount

LETTERS: Final = "m measured, p published, c calibrated, e estimated, a assumed"


def put(told: Statement, *, as_json: bool, as_csv: bool) -> None:
    """Print it as it was asked for."""
    if as_json:
        output.print_json(values(told))
    elif as_csv:
        output.say(csv_text(told))
    else:
        show(told)


def show(told: Statement) -> None:
    """Every table with its formulas, then what the letters mean."""
    for table in told.tables:
        output.say(f"{table.title.upper()}")
        _print(table)
        for note in table.notes:
            output.say(f"- {note}")
        output.say("")
    output.say(f"Behind each figure: {LETTERS}; --json has their sources.")


def values(told: Statement) -> dict[str, Any]:
    """For programs: table → row → column → figure."""
    tables: dict[str, Any] = {
        table.key: {row.key: {} for row in table.rows} for table in told.tables
    }
    for table, row, column, figure in told.figures():
        tables[table.key][row.key][column] = {
            "value": figure.value,
            "unit": figure.unit,
            "basis": figure.basis.value,
            "source": figure.source,
        }
    notes = {table.key: list(table.notes) for table in told.tables}
    said = {
        table.key: {row.key: row.note for row in table.rows if row.note} for table in told.tables
    }
    return {"currency": told.currency, "tables": tables, "row_notes": said, "notes": notes}


def csv_text(told: Statement) -> str:
    """Each figure on a line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("table", "row", "column", "value", "unit", "basis", "source"))
    for table, row, column, each in told.figures():
        writer.writerow(
            (table.key, row.key, column, each.value, each.unit, each.basis.value, each.source)
        )
    return text.getvalue().rstrip("\n")


def _print(table: Table) -> None:
    bare = len(table.columns) > 1
    rows = []
    for row in table.rows:
        figures = [row.cells.get(column) for column in table.columns]
        cells = [
            f"{amount(figure, bare=bare)} {figure.basis.value[0]}" if figure else "-"
            for figure in figures
        ]
        rows.append([row.label, *cells])
    right = set(range(1, len(table.columns) + 1))
    output.print_table(["", *table.columns.values()], rows, right)
    for row in table.rows:
        if row.note:
            output.say(f"{row.label.strip()}: {row.note}")
