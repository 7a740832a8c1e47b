"""Figures as people read them. Pure."""

from __future__ import annotations

import math
from typing import Final

from farm.plan.money.figure import Figure
from farm.plan.words import duration

SIGNS: Final = {"USD": "$", "EUR": "€", "GBP": "£"}
TOLD_BY_HEADINGS: Final = ("FPS", "H100s", "clips", "months", "tokens", "TFLOP", "h", "GB")
"""Units that a table's headings or labels have already."""


def amount(figure: Figure, *, bare: bool = False) -> str:
    """`$2,594.80`, `$0.00062`, `155 FPS`, `1 h 20 min`, `7.95x`: value and unit.

    `bare` leaves out units that stand in a table's headings.
    """
    value, unit = figure.value, figure.unit
    if unit in TOLD_BY_HEADINGS and bare:
        return number(value)
    if len(unit) == 3 and unit.isupper() and unit != "FPS":  # ISO 4217
        sign = SIGNS.get(unit, "")
        return f"{sign}{money(value)}" if sign else f"{money(value)} {unit}"
    if unit == "s" and value >= 90:
        return duration(value)
    return f"{number(value)}x" if unit == "x" else f"{number(value)} {unit}".strip()


def money(value: float) -> str:
    """`24,807`, `2,594.80`, `0.00062`: cents where there are some, no small amount as nothing."""
    is_whole = round(value, 2) == round(value) and (abs(value) >= 1 or not value)
    if is_whole or abs(value) >= 100_000:
        return f"{value:,.0f}"
    return f"{value:,.2f}" if abs(value) >= 0.095 else _small(value, 2)


def number(value: float) -> str:
    """Three digits, or as many as a whole number has: `155`, `7.95`, `0.0881`, `2,124,113`."""
    if value == round(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-4 else _small(value, 3)


def _small(value: float, digits: int) -> str:
    """So many digits after the zeros."""
    return f"{value:.{digits - 1 - math.floor(math.log10(abs(value)))}f}".rstrip("0")
