"""Wedges as grids: clips of one prompt over a grid of parameters, laid out by their axes.

A clip says by two columns of its own where it belongs: `wedge_of` names the wedge, `wedge` its
place, as `seed=1 guidance_scale=4`. The last axis goes across, those before it go down.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from farm.media.takes import Take, natural

_PAIR: Final = re.compile(r"([^\s=]+)=(\S*)")


@dataclass(frozen=True, slots=True)
class Grid:
    """Takes by row and column, each with a label; None where there is no take."""

    title: str
    across: tuple[str, ...]
    """Labels of the columns; empty where takes only flow."""
    down: tuple[str, ...]
    cells: tuple[tuple[Take | None, ...], ...]


def grids(takes: Sequence[Take], columns: int) -> list[Grid]:
    """Each wedge as a grid, then the rest in rows of `columns`."""
    wedges: dict[str, list[Take]] = {}
    rest: list[Take] = []
    for take in takes:
        if _PAIR.search(take.columns.get("wedge", "")):
            wedges.setdefault(take.columns.get("wedge_of", ""), []).append(take)
        else:
            rest.append(take)
    found = [_grid(name, members) for name, members in wedges.items()]
    if rest:
        rows = [tuple(rest[i : i + columns]) for i in range(0, len(rest), columns)]
        padded = [row + (None,) * (min(columns, len(rest)) - len(row)) for row in rows]
        found.append(Grid("", (), ("",) * len(rows), tuple(padded)))
    return found


def _grid(name: str, takes: Sequence[Take]) -> Grid:
    placed: dict[tuple[str, str], Take] = {}
    for take in takes:
        axes = _PAIR.findall(take.columns["wedge"])
        *before, last = [f"{axis}={value}" for axis, value in axes]
        placed[" ".join(before), last] = take
    down = sorted({row for row, _ in placed}, key=natural)
    across = sorted({column for _, column in placed}, key=natural)
    cells = tuple(tuple(placed.get((row, column)) for column in across) for row in down)
    return Grid(name, tuple(across), tuple(down), cells)
