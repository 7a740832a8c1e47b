"""JSON Lines: an object on each line. The row is the line's number.

The first line may be about the batch: `{"batch": {"name": "show"}, "defaults": {"frames": 66}}`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from farm.client.csv_file import open_text, text_lines
from farm.client.head import is_head, read_head
from farm.client.rowfile import Row, RowFile, clean_row, whole_file
from farm.domain.spec import Problem
from farm.domain.values import BadValue, shown


@dataclass(slots=True)
class JsonLinesFile(RowFile):
    """A file of one JSON object per line, such as `{"id": "7", "prompt": "A cat"}`."""

    _head_line: int = 0
    _of_head: list[Problem] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path) -> JsonLinesFile:
        """Read the first line, where it is the batch's own. Raises `Unreadable`."""
        file = cls(path)
        with open_text(path) as stream:
            for number, line in enumerate(text_lines(stream), 1):
                if line.strip():
                    file._read_head(number, line)
                    break
        return file

    def rows(self) -> Iterator[Row]:
        """The objects of all lines that are objects; empty lines are passed over but counted."""
        del self.problems[:]
        number = 0
        with open_text(self.path) as stream:
            for number, line in enumerate(text_lines(stream), 1):
                if not line.strip() or number == self._head_line:
                    continue
                try:
                    cells = self.head.row(read_object(line.rstrip()))
                except (BadJson, BadValue) as bad:
                    self.problems.append(Problem(number, "", bad.what, bad.remedy))
                    continue
                row = clean_row(number, cells, self.problems)
                if row[1]:
                    yield row
        self.problems += self._of_head
        if not number:
            raise whole_file("the file is empty", "write a JSON object on a line for each clip")

    def _read_head(self, number: int, line: str) -> None:
        try:
            parts = read_object(line.rstrip())
            if is_head(parts):
                self._head_line = number
                self.head = read_head(parts)
        except BadJson:
            pass  # It is said with the other rows.
        except BadValue as bad:
            self._of_head.append(Problem(number, "", bad.what, bad.remedy))


class BadJson(Exception):
    """A text that is no JSON object: what is wrong, and what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


def read_object(text: str) -> dict[str, Any]:
    """A JSON object, its keys all different. Raises `BadJson`."""
    value = read_json(text)
    if not isinstance(value, dict):
        raise BadJson("the line is no JSON object", 'write one such as {"prompt": "A cat"}')
    return value


def read_json(text: str) -> Any:
    """Any JSON value, the keys of its objects all different. Raises `BadJson`."""
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, " if "\n" in text.strip() else ""
        what = f"this is no JSON: {error.msg} ({where}character {error.colno})"
        raise BadJson(what, "mend it or write it with a program") from None
    except RecursionError:
        raise BadJson("the values are nested too deeply", "use plain values") from None
    except ValueError:
        raise BadJson("a number has too many digits", "write a shorter one") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for twice, _ in pairs:
            if twice in seen:
                break
            seen.add(twice)
        raise BadJson(f"{shown(twice)} is given twice", "remove one of them")
    return found


def _no_number(word: str) -> NoReturn:
    raise BadJson(f"{word} is no number in JSON", "write a number or null")
