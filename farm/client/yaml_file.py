"""YAML and JSON documents: a list of clips, or `clips` and what is said beside them.

The row is the clip's place in the list, from 1. Scalars are taken as they are written: YAML's
own ideas of numbers, dates and yes or no do not touch them. Read as a whole, so limited in size.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from farm.client.head import SHAPE, read_head
from farm.client.json_file import BadJson, read_json
from farm.client.rowfile import Row, RowFile, clean_row, whole_file
from farm.domain.spec import Problem
from farm.domain.values import BadValue, one_line, shown

BYTES_MAX: Final = 16_000_000
"""Larger submissions come as CSV or JSON Lines, which are read row by row."""

_DEPTH_MAX: Final = 20
_VALUES_MAX: Final = 1_000_000
"""Of a YAML document: each is an object of some hundred bytes while it is read."""
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class DocumentFile(RowFile):
    """A file that is one YAML or JSON document."""

    _rows: list[Row] = field(default_factory=list)
    _broken: list[Problem] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path) -> DocumentFile:
        """Read all of it. Raises `Unreadable`."""
        with path.open("rb") as stream:
            data = stream.read(BYTES_MAX + 1)
        if len(data) > BYTES_MAX:
            raise whole_file(f"more than {BYTES_MAX} bytes", "use CSV or JSON Lines (.jsonl)")
        text = data.decode("utf-8-sig", "surrogateescape")
        if not text.strip():
            raise whole_file("the file is empty", SHAPE)
        file = cls(path)
        if path.suffix.lower() == ".json":
            file._take(_json(text))
        else:
            file._take(_yaml(text))
        return file

    def rows(self) -> Iterator[Row]:
        """All clips in order."""
        self.problems[:] = self._broken
        for number, cells in self._rows:
            yield number, dict(cells)

    def _take(self, document: Any) -> None:
        if isinstance(document, dict):
            parts = {key: value for key, value in document.items() if key != "clips"}
            try:
                self.head = read_head(parts)
            except BadValue as bad:
                raise whole_file(bad.what, bad.remedy) from None
            document = document.get("clips")
        if not isinstance(document, list):
            raise whole_file("this is no list of clips", SHAPE)
        for number, clip in enumerate(document, 1):
            if not isinstance(clip, dict):
                what = "the clip is no mapping"
                self._broken.append(Problem(number, "", what, "write it as name: value"))
                continue
            try:
                cells = self.head.row(clip)
            except BadValue as bad:
                self._broken.append(Problem(number, "template", bad.what, bad.remedy))
                continue
            row = clean_row(number, cells, self._broken)
            if row[1]:
                self._rows.append(row)


def _json(text: str) -> Any:
    try:
        return read_json(text)
    except BadJson as bad:
        raise whole_file(bad.what, bad.remedy) from None


def _yaml(text: str) -> Any:
    # PyYAML refuses what the escape of undecodable bytes makes of them, and names the place badly.
    for number, line in enumerate(text.splitlines(), 1):
        if not line.isascii() and any("\udc80" <= c <= "\udcff" for c in line):
            raise whole_file(f"line {number} is not UTF-8", "save the file as UTF-8")
    try:
        _check_events(text)
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        why = getattr(error, "problem", None) or getattr(error, "reason", None) or "it is broken"
        raise whole_file(f"this is no YAML: {where}{one_line(str(why))}", "mend it") from None
    return _plain(node)


def _check_events(text: str) -> None:
    """Refuse what could grow without bounds: references, and nesting without end."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_LOADER)):
        if count > _VALUES_MAX:
            raise whole_file(f"more than {_VALUES_MAX} values", "use CSV or JSON Lines (.jsonl)")
        if isinstance(event, yaml.AliasEvent):
            line = event.start_mark.line + 1 if event.start_mark else 0
            raise whole_file(f"line {line} has a reference (*name)", "write the value out")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEPTH_MAX:
            raise whole_file("the values are nested too deeply", "use plain values")


def _plain(node: yaml.Node | None) -> Any:
    """A node with its scalars as the file has them; null is None."""
    match node:
        case None:
            return None
        case yaml.ScalarNode():
            return None if node.tag == "tag:yaml.org,2002:null" else node.value
        case yaml.SequenceNode():
            return [_nested(item) for item in node.value]
        case yaml.MappingNode():
            found: dict[str, Any] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if not isinstance(key, yaml.ScalarNode):
                    raise whole_file(f"line {line} has a key that is no word", "use a word")
                if key.value in found:
                    twice = f"{shown(key.value)} is given twice (line {line})"
                    raise whole_file(twice, "remove one of them")
                found[key.value] = _plain(value)
            return found
    raise whole_file("this is no YAML that the farm reads", SHAPE)


def _nested(node: yaml.Node) -> Any:
    """An item of a list: numbers as numbers, so that `[2, 2, 2]` is written so as JSON, too."""
    if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:int":
        try:
            return json.loads(node.value)
        except ValueError:
            return node.value
    return _plain(node)
