"""The page of what a fleet is worth: tiles, charts and tables of a statement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from farm.html import render
from farm.html.charts import Bar, Bars, Lines, Series, bars, dots, lines
from farm.plan.money.figure import Figure, Statement, Table
from farm.plan.money.words import SIGNS, amount, money, number

TILES: Final = (
    ("H100s that it is worth", "fleet", "equivalents"),
    ("FPS with all cards at work", "fleet", "rate"),
    ("FPS for 1,000 of whole nodes", "fleet", "fps_per_1000_nodes"),
    ("FPS per kilowatt", "fleet", "fps_per_kilowatt"),
    ("a generation on whole nodes", "fleet", "cost_nodes"),
)
"""Name, table, row."""
OWN: Final = ("fleet-cards", "fleet-nodes")


@dataclass(frozen=True, slots=True)
class Field:
    """An entry of the form."""

    name: str
    label: str
    value: str
    hint: str
    numeric: bool = True


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure in large."""

    name: str
    figure: Figure
    said: str = ""


Drawn = tuple[str, Bars | Lines]
"""`bars` or `lines`, and the chart."""


def economics_page(
    told: Statement, form: Sequence[Field], *, at: str, problem: str = "", asked: bool = False
) -> str:
    """The page; `at` says when it was made, `problem` what was asked and cannot be."""
    values: dict[str, Any] = {
        "title": "Economics",
        "at": at,
        "problem": problem,
        "tiles": list(_tiles(told)),
        "form": form,
        "asked": asked,
        "tables": told.tables,
        "drawn": {table.key: list(_drawn(told, table)) for table in told.tables},
        "sources": {table.key: _sources(table) for table in told.tables},
        "amount": amount,
    }
    return render("economics.html.j2", **values)


def _tiles(told: Statement) -> Iterator[Tile]:
    for name, table_key, key in TILES:
        table = told.table(table_key)
        figure = table.cell(key) if table else None
        if figure is not None:
            yield Tile(name, figure)
    payback = told.table("payback")
    nodes = payback.row("nodes") if payback else None
    if nodes is not None:
        yield Tile("Duration Tax rate of the nodes", nodes.cells["rate"], nodes.note)


def _sources(table: Table) -> list[tuple[str, str]]:
    """Row, and who says so or by what formula: each source once in a row."""
    found: dict[tuple[str, str], None] = {}
    for row in table.rows:
        for column, heading in table.columns.items():
            if (figure := row.cells.get(column)) and figure.source:
                label = f"{row.label.strip()}, {heading}" if heading else row.label.strip()
                found[label, figure.source] = None
    return list(found)


def _drawn(told: Statement, table: Table) -> Iterator[Drawn]:
    if table.key == "comparators":
        yield from _beside(table)
    elif table.key == "payback":
        yield from _payback(told, table)
    elif table.key == "tiers":
        yield "bars", _row_bars("saved", "Saved in a year", table, "saved", "c")
    elif table.key == "sensitivity":
        yield from _sensitivity(told, table)
    elif table.key == "utilisation":
        yield from _utilisation(told, table)
    elif table.key == "article":
        yield "bars", _times(table)
    elif table.key == "arithmetic":
        yield "bars", _row_bars("tflop", "TFLOP of a chunk", table, "chunk", "d", stages=False)


def _beside(table: Table) -> Iterator[Drawn]:
    per_thousand = f"{table.columns['fps_per_1000']} of hardware"
    for name, title, column, draw in (
        ("rates", "Frames a second", "rate", bars),
        ("per-thousand", per_thousand, "fps_per_1000", bars),
        ("costs", f"Cost of {table.columns['cost']}, each line ten times more", "cost", dots),
    ):
        found = [
            Bar(row.label, figure.value, amount(figure, bare=True), "a" if _own(row.key) else "b")
            for row in table.rows
            if (figure := row.cells.get(column))
            and not (column == "rate" and row.key == OWN[1])  # as many frames as cards alone
        ]
        if found:
            yield "bars", draw(name, title, found)


def _own(key: str) -> bool:
    return key in OWN


def _payback(told: Statement, table: Table) -> Iterator[Drawn]:
    """Money spent by generations: a cloud's from nothing, one's own from the hardware's price."""
    fleet, others = told.table("fleet"), told.table("comparators")
    own = fleet.cell("electricity") if fleet else None
    cloud = others.cell("cloud", "cost") if others else None
    ends = [row.cells["average"].value for row in table.rows if "average" in row.cells]
    if own is None or cloud is None or not ends:
        return
    most = 1.6 * max(ends)
    series = [
        Series(f"a cloud at {amount(cloud)}", [(0, 0), (most, most * cloud.value)], "b"),
        *(
            Series(
                f"{row.label}, from {amount(row.cells['price'])}",
                [
                    (0, row.cells["price"].value),
                    (most, row.cells["price"].value + most * own.value),
                ],
                tone,
            )
            for row, tone in zip(table.rows, ("c", "a"), strict=False)
        ),
    ]
    yield (
        "lines",
        lines(
            "payback-lines",
            "Money spent, by generations rendered",
            series,
            x_label="generations",
            x_text=_short,
            y_text=partial(_short_money, currency=told.currency),
        ),
    )


def _sensitivity(told: Statement, table: Table) -> Iterator[Drawn]:
    for name, title, keys, money_axis in (
        ("sensitive-cost", "Cost of a generation", ("hardware", "electricity"), True),
        ("sensitive-even", "Generations until the nodes are paid",
         ("hardware_even", "cloud_even"), False),
    ):  # fmt: skip
        series = []
        for key, tone in zip(keys, ("a", "b"), strict=True):
            row = table.row(key)
            points = [
                (float(column.removeprefix("x")), row.cells[column].value)
                for column in table.columns
                if row and column in row.cells
            ]
            if row and points:
                series.append(Series(row.label.partition(", ")[2], points, tone))
        if series:
            yield (
                "lines",
                lines(
                    name,
                    title,
                    series,
                    x_label="times as much as now",
                    x_text=number,
                    y_text=partial(_short_money, currency=told.currency) if money_axis else _short,
                ),
            )


def _utilisation(told: Statement, table: Table) -> Iterator[Drawn]:
    row = table.row("cost")
    points = [
        (float(column.rstrip("%")), row.cells[column].value)
        for column in table.columns
        if row and column in row.cells
    ]
    if points:
        yield (
            "lines",
            lines(
                "utilisation-cost",
                "Cost of a generation on whole nodes",
                [Series("by the part of their time that cards render", points, "a")],
                x_label="% of their time",
                x_text=number,
                y_text=partial(_short_money, currency=told.currency),
            ),
        )


def _times(table: Table) -> Bars:
    row = table.row("times")
    cells = row.cells if row else {}
    found = [
        Bar(heading, cells[column].value, amount(cells[column]), tone)
        for (column, heading), tone in zip(table.columns.items(), "bbac", strict=False)
        if column in cells
    ]
    return bars("times", "Cards for the price of one H100: how many H100s they are worth", found)


def _row_bars(
    name: str, title: str, table: Table, column: str, tone: str, *, stages: bool = True
) -> Bars:
    found = [
        Bar(row.label, figure.value, amount(figure), tone)
        for row in table.rows
        if (figure := row.cells.get(column)) and (stages or not row.key.startswith("stage_"))
    ]
    return bars(name, title, found)


def _short(value: float) -> str:
    """`20k`, `1.5M`: for axes."""
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{sign}"
    return f"{value:.3g}"


def _short_money(value: float, currency: str) -> str:
    sign = SIGNS.get(currency, "")
    return sign + (_short(value) if value >= 1000 else money(value))
