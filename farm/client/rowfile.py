"""What every kind of submission file becomes: columns, rows of text, and problems on the way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from farm.client.head import Head
from farm.domain.spec import Problem

CELL_CHARS_MAX: Final = 131_072
"""The csv module's own limit; far above what any field may hold."""

ROW_BYTES_MAX: Final = 60_000
"""A gateway takes rows of 64 KiB at most, the names of their columns counted in."""

LINE_CHARS_MAX: Final = 1_000_000

SAVE_AS_UTF8: Final = "save the file as UTF-8 (in Excel: CSV UTF-8)"

Row = tuple[int, dict[str, str]]
"""Number and column → text; empty cells are left out."""


@dataclass(slots=True)
class RowFile(ABC):
    """An opened submission. Iterating reads it once more from the start, problems included."""

    path: Path
    columns: tuple[str, ...] = ()
    """The header, in order; empty where rows name their own columns."""
    problems: list[Problem] = field(default_factory=list)
    """What the reading found so far."""
    head: Head = field(default_factory=Head)
    """What the file says beside its rows."""

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """All rows in order, each as soon as it is read."""


class Unreadable(Exception):
    """Nothing of the file can be read; `problem` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.what)
        self.problem = problem


def whole_file(what: str, remedy: str) -> Unreadable:
    """A problem with the file as such: it stands at row 1, where an editor opens it."""
    return Unreadable(Problem(1, "", what, remedy))


def clean_text(text: str) -> tuple[str, str]:
    """`text` fit to be sent, and what is wrong with its characters (empty when nothing is).

    Undecodable bytes arrive as lone surrogates (Python's `surrogateescape`); so do the halves of
    a pair that a JSON escape left alone.
    """
    if text.isascii():
        return text, ""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        bad = ord(text[error.start])
        if 0xDC80 <= bad <= 0xDCFF:
            what = f"the byte 0x{bad - 0xDC00:02X} is not UTF-8"
        else:
            what = f"half a character (\\u{bad:04x})"
        fit = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
        return fit, what
    return text, ""


def clean_row(number: int, cells: Mapping[str, str], problems: list[Problem]) -> Row:
    """A row without empty cells, its broken characters reported and replaced."""
    fit: dict[str, str] = {}
    for column, text in cells.items():
        if not text:
            continue
        fit[column], broken = clean_text(text)
        if broken:
            problems.append(Problem(number, clean_text(column)[0], broken, SAVE_AS_UTF8))
    if sum(map(len, fit.values())) > ROW_BYTES_MAX // 4:
        size = sum(len(text.encode()) for text in fit.values())
        if size > ROW_BYTES_MAX:
            what = f"the row has {size} bytes"
            problems.append(Problem(number, "", what, f"keep to {ROW_BYTES_MAX}"))
            return number, {}
    return number, fit
