"""JSON Lines: an object on each line. The row is the line's number."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from farm.client.csv_file import open_text, text_lines
from farm.client.rowfile import Row, RowFile, as_text, clean_row, whole_file
from farm.domain.spec import Problem
from farm.domain.values import shown


class JsonLinesFile(RowFile):
    """A file of one JSON object per line, such as `{"id": "7", "prompt": "A cat"}`."""

    @classmethod
    def open(cls, path: Path) -> JsonLinesFile:
        """Nothing is read before the rows are."""
        return cls(path)

    def rows(self) -> Iterator[Row]:
        """The objects of all lines that are objects; empty lines are passed over but counted."""
        del self.problems[:]
        number = 0
        with open_text(self.path) as stream:
            for number, line in enumerate(text_lines(stream), 1):
                if not line.strip():
                    continue
                try:
                    cells = {
                        key: as_text(value) for key, value in read_object(line.rstrip()).items()
                    }
                except BadJson as bad:
                    self.problems.append(Problem(number, "", bad.what, bad.remedy))
                    continue
                row = clean_row(number, cells, self.problems)
                if row[1]:
                    yield row
        if not number:
            raise whole_file("the file is empty", "write a JSON object on a line for each clip")


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
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BadJson(f"{shown(twice)} is given twice", "remove one of them")
    return found


def _no_number(word: str) -> NoReturn:
    raise BadJson(f"{word} is no number in JSON", "write a number or null")
