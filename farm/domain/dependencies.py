"""Which clips of a submission wait for which others: by the ids of rows, in any order of the file.

Nothing is kept of a row that waits for none. What a row waits for is resolved as soon as it is
known, so that a file in which clips follow what they wait for costs two numbers for each pair.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from farm.domain.row_parts import Names
from farm.domain.spec import Problem
from farm.domain.values import OTHER_ROWS, shown

CIRCLES_SHOWN: Final = 20
CIRCLE_SHOWN: Final = 10
"""Clips of a circle that are named."""


class Dependencies:
    """What the rows of one submission wait for. `add` them in order, then `finish`."""

    def __init__(self, names: Names, pairs_max: int) -> None:
        """`names` knows the rows so far, each under its place in the batch."""
        self._names = names
        self._pairs_max = pairs_max
        self._from = array("I")
        self._on = array("I")
        self._unresolved: list[tuple[int, str]] = []
        """(place in `_from`, id) of what had not come yet."""
        self._where: dict[int, tuple[int, str]] = {}
        """Ordinal of a clip that waits → its row and the column that says so."""
        self._ahead = False

    def __len__(self) -> int:
        return len(self._from)

    def add(self, ordinal: int, row: int, column: str, wanted: Sequence[str]) -> list[Problem]:
        """A row that waits for others, by their ids; call it once its own id is known."""
        if len(self._from) + len(wanted) > self._pairs_max:
            what = f"more than {self._pairs_max} dependencies in one batch"
            return [Problem(row, column, what, "split the file, and use --after")]
        self._where[ordinal] = (row, column)
        for name in wanted:
            on = self._names.place(name)
            if on == ordinal:
                return [Problem(row, column, "the clip waits for itself", OTHER_ROWS)]
            if on is None:
                self._unresolved.append((len(self._from), name))
            self._from.append(ordinal)
            self._on.append(on or 0)
        return []

    def finish(self) -> list[Problem]:
        """What is wrong, now that all rows are known: unknown ids, and circles."""
        problems = []
        for at, name in self._unresolved:
            ordinal, on = self._from[at], self._names.place(name)
            if on is None:
                row, column = self._where[ordinal]
                problems.append(
                    Problem(row, column, f"no row has the id {shown(name)}", OTHER_ROWS)
                )
            self._on[at] = on or 0
            self._ahead = True
        if self._ahead and not problems:
            problems += self._circles()
        return problems

    def blocks(self, size: int) -> Iterator[list[tuple[int, int]]]:
        """All pairs (ordinal, ordinal that it waits for), each once, in blocks."""
        for start in range(0, len(self._from), size):
            part = slice(start, start + size)
            yield list(zip(self._from[part], self._on[part], strict=True))

    def _graph(self) -> dict[int, list[int]]:
        graph: dict[int, list[int]] = {}
        for ordinal, on in zip(self._from, self._on, strict=True):
            graph.setdefault(ordinal, []).append(on)
        return graph

    def _circles(self) -> list[Problem]:
        found = list(islice(circles(self._graph()), CIRCLES_SHOWN))
        spelled = self._names.spelled({place for each in found for place in each[:CIRCLE_SHOWN]})
        problems = []
        for circle in found:
            row, column = self._where[circle[0]]
            names = [spelled[place] for place in circle[:CIRCLE_SHOWN]]
            more = [f"… ({len(circle)} clips)"] if len(circle) > CIRCLE_SHOWN else []
            what = f"clips wait for each other: {' → '.join([*names, *more, names[0]])}"
            remedy = "let one of them wait for none of the others"
            problems.append(Problem(row, column, what, remedy))
        return problems


def circles(graph: Mapping[int, Sequence[int]]) -> Iterator[list[int]]:
    """Circles in node → the nodes that it waits for, each from its smallest node on.

    A depth-first walk without recursion, once over every edge: of nodes that wait for each other,
    at least one circle is found.
    """
    done: set[int] = set()
    for start in graph:
        if start in done:
            continue
        path, places, walks = [start], {start: 0}, [iter(graph[start])]
        while path:
            on = next(walks[-1], None)
            if on is None:
                walks.pop()
                places.pop(last := path.pop())
                done.add(last)
            elif on in places:
                circle = path[places[on] :]
                first = circle.index(min(circle))
                yield circle[first:] + circle[:first]
            elif on not in done and on in graph:
                path.append(on)
                places[on] = len(path) - 1
                walks.append(iter(graph[on]))
