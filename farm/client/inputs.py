"""Paths of images and videos in a submission: relative ones lie beside the submitted file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from farm.client.rowfile import Row
from farm.client.submission import Source
from farm.domain.columns import normal
from farm.domain.spec import Problem

INPUT_FIELDS: Final = ("image", "video")

_NOT_RELATIVE: Final = re.compile(r"/|~|[A-Za-z]:[\\/]|[A-Za-z0-9+.-]+://")


@dataclass(slots=True)
class BesideFile:
    """A submission's source whose relative paths are made absolute; a `Source` itself."""

    source: Source
    directory: Path
    """Where the submitted file lies."""
    column_map: Mapping[str, str]
    _is_input: dict[str, bool] = field(default_factory=dict)
    """By column."""

    @property
    def columns(self) -> Sequence[str]:
        """The file's header."""
        return self.source.columns

    @property
    def problems(self) -> list[Problem]:
        """Found by the reading so far."""
        return self.source.problems

    @problems.setter
    def problems(self, found: list[Problem]) -> None:
        self.source.problems = found

    def rows(self) -> Iterator[Row]:
        """All rows in order."""
        mapped = {normal(column): normal(name) for column, name in self.column_map.items()}
        for number, cells in self.source.rows():
            for column, text in cells.items():
                is_input = self._is_input.get(column)
                if is_input is None:
                    key = normal(column)
                    is_input = self._is_input[column] = mapped.get(key, key) in INPUT_FIELDS
                if is_input:
                    cells[column] = absolute(text, self.directory)
            yield number, cells


def absolute(text: str, directory: Path) -> str:
    """A relative path as an absolute one; anything else as it is, for the farm to judge."""
    path = text.strip()
    if not path or _NOT_RELATIVE.match(path):
        return text
    return os.path.normpath(directory.absolute() / path)


def absolute_settings(settings: Mapping[str, str], directory: Path) -> dict[str, str]:
    """The same for values that all rows share."""
    return {
        name: absolute(text, directory) if normal(name) in INPUT_FIELDS else text
        for name, text in settings.items()
    }
