"""Comma-separated files as spreadsheets write them, row by row.

A row is a record, as spreadsheets count them: the header is row 1, and a cell with line ends in
it does not add to the count.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TextIO

from farm.client.rowfile import (
    CELL_CHARS_MAX,
    LINE_CHARS_MAX,
    SAVE_AS_UTF8,
    Row,
    RowFile,
    clean_row,
    clean_text,
    whole_file,
)
from farm.domain.columns import FIELDS, normal
from farm.domain.spec import Problem
from farm.domain.values import shown

_DELIMITERS: Final = (",", ";", "\t")


class _Lines:
    """Lines for the csv module, which can be handed back after a record that went wrong."""

    def __init__(self, source: Iterable[str]) -> None:
        self._source = iter(source)
        self._again: list[str] = []
        self.record: list[str] = []
        """Lines taken since the last record began."""

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.pop() if self._again else next(self._source)
        self.record.append(line)
        return line

    def begin(self) -> None:
        """The record that was being read is complete."""
        self.record.clear()

    def hand_back(self) -> None:
        """Read all lines of the broken record again, but its first."""
        self._again.extend(reversed(self.record[1:]))
        self.record.clear()


@dataclass(slots=True)
class CsvFile(RowFile):
    """A CSV or TSV file with a header."""

    delimiter: str = ","
    _names: tuple[str, ...] = field(default=())
    """The header's cells; empty for those that are no column of their own."""
    _unnamed: frozenset[int] = frozenset()

    @classmethod
    def open(cls, path: Path, mapped: Iterable[str] = ()) -> CsvFile:
        """Read the header. `mapped` are columns that the user has named. Raises `Unreadable`."""
        ours = {*FIELDS, *map(normal, mapped)}
        with open_text(path) as stream:
            first = next(_Lines(text_lines(stream)), "")
        delimiter = max(_DELIMITERS, key=lambda d: _score(first, d, ours))
        file = cls(path, delimiter=delimiter)
        for number, cells in file._records():
            if any(cell.strip() for cell in cells):
                file._read_header(number, cells)
                return file
        if file.problems:
            return file
        raise whole_file("the file is empty", "write a header and a row for each clip")

    def rows(self) -> Iterator[Row]:
        """All rows after the header; a row without any text is passed over but counted."""
        del self.problems[:]
        records = self._records()
        for number, cells in records:
            if any(cell.strip() for cell in cells):
                self._read_header(number, cells)
                break
        for number, cells in records:
            if len(cells) > len(self._names) or "" in self._names:
                cells = self._fitting(number, cells)
            row = clean_row(number, dict(zip(self._names, cells, strict=False)), self.problems)
            if row[1]:
                yield row

    def _fitting(self, number: int, cells: list[str]) -> list[str]:
        """The cells that have a column; says when others have text."""
        width = len(self._names)
        if any(cell.strip() for cell in cells[width:]):
            self.problems.append(
                Problem(
                    number,
                    "",
                    f"the row has {len(cells)} cells and the header {width}",
                    f'put text with a "{_spoken(self.delimiter)}" in it in quotes',
                )
            )
        for i, cell in enumerate(cells[:width]):
            if i in self._unnamed and cell.strip():
                what = f"cell {i + 1} is in a column without a name"
                self.problems.append(Problem(number, "", what, "name the column in the header"))
        return [cell if name else "" for name, cell in zip(self._names, cells, strict=False)]

    def _read_header(self, number: int, cells: Sequence[str]) -> None:
        names: list[str] = []
        seen: set[str] = set()
        for cell in cells:
            name, broken = clean_text(cell)
            if broken:
                self.problems.append(Problem(number, name, broken, SAVE_AS_UTF8))
            if name in seen and name.strip():
                what = f"two columns are called {shown(name)}"
                self.problems.append(Problem(number, name, what, "rename or remove one of them"))
                name = ""
            seen.add(name)
            names.append(name if name.strip() else "")
        self._names = tuple(names)
        self._unnamed = frozenset(i for i, cell in enumerate(cells) if not cell.strip())
        self.columns = tuple(name for name in names if name)

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        number = 0
        with open_text(self.path) as stream:
            lines = _Lines(text_lines(stream))
            reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
            while True:
                number += 1
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    self.problems.append(self._broken(number, str(error), lines.record))
                    lines.hand_back()
                    continue
                lines.begin()
                yield number, cells

    def _broken(self, number: int, error: str, lines: Sequence[str]) -> Problem:
        column = self._last_column(lines[0])
        if "limit" in error and len(lines) == 1:
            what = f"a cell has more than {CELL_CHARS_MAX} characters"
            return Problem(number, column, what, "shorten it")
        what = "the quotes do not match"
        return Problem(number, column, what, 'close them, and write a quote in a text as ""')

    def _last_column(self, line: str) -> str:
        """The column of the cell in which a line ends: where an unclosed quote was opened."""
        try:
            cells = next(csv.reader([line[: CELL_CHARS_MAX // 2]], delimiter=self.delimiter))
        except csv.Error:
            return ""
        return self._names[len(cells) - 1] if 0 < len(cells) <= len(self._names) else ""


def open_text(path: Path) -> TextIO:
    """A text with undecodable bytes as lone surrogates, and a byte order mark passed over."""
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def text_lines(stream: TextIO) -> Iterator[str]:
    """Lines with their ends. Raises `Unreadable` at one that is too long to be text."""
    while line := stream.readline(LINE_CHARS_MAX):
        if len(line) == LINE_CHARS_MAX and not line.endswith("\n"):
            raise whole_file(
                f"a line has more than {LINE_CHARS_MAX} characters",
                "is it a text file? Export it as CSV",
            )
        yield line


def _score(line: str, delimiter: str, ours: set[str]) -> tuple[int, int]:
    """How much a header makes sense with this delimiter: columns known, columns in all."""
    try:
        cells = next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return 0, 0
    return sum(normal(cell) in ours for cell in cells), len(cells)


def _spoken(delimiter: str) -> str:
    return "tab" if delimiter == "\t" else delimiter
