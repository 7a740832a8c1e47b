"""Reads lines back from a log file and those that it was rotated to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from heliostat.logs.settings import FILES_MAX, PAGE_BYTES_MAX, PAGE_LINES_MAX

_TS: Final = re.compile(r'\{"ts": ?"([^"]*)"')


@dataclass(frozen=True, slots=True)
class Page:
    """Lines of a log, the oldest first."""

    lines: list[str]
    cut: bool
    """Older ones were there, but are more than was asked for."""


def read_page(file: Path, *, lines_max: int, since: str = "", clip_id: str = "") -> Page:
    """The newest lines of a log after `since` (as `timestamp` writes it), all or of one clip.

    At most PAGE_LINES_MAX lines and PAGE_BYTES_MAX bytes. A file that is not there has none.
    """
    clip = re.compile(rf"(?<![\w-]){re.escape(clip_id)}(?![\w-])") if clip_id else None
    lines: list[str] = []
    left = PAGE_BYTES_MAX
    for line in _newest_first(file):
        if not (at := time_of(line)):
            continue
        if at <= since:
            break
        if clip is not None and (clip_id not in line or not clip.search(line)):
            continue
        left -= len(line.encode())
        if len(lines) == min(lines_max, PAGE_LINES_MAX) or left < 0:
            return Page(lines[::-1], cut=True)
        lines.append(line)
    return Page(lines[::-1], cut=False)


def time_of(line: str) -> str:
    """When it was logged, as `timestamp` writes it; empty for a line that is none."""
    found = _TS.match(line)
    return found[1] if found else ""


def fields_of(line: str) -> dict[str, Any]:
    """The fields of a line; of one that is no JSON object, the line as its event."""
    try:
        fields = json.loads(line)
    except ValueError:
        fields = None
    return fields if isinstance(fields, dict) else {"event": line}


def timestamp(seconds: float) -> str:
    """Unix seconds as lines have them: all of one length, so that they sort as text."""
    at = datetime.fromtimestamp(seconds, tz=UTC)
    return f"{at.isoformat(timespec='microseconds')[:-6]}Z"


def _newest_first(file: Path) -> Iterator[str]:
    for path in (file, *(file.with_name(f"{file.name}.{n}") for n in range(1, FILES_MAX))):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return
        # a line that is just being written has no end yet
        for line in reversed(content[: content.rfind(b"\n") + 1].splitlines()):
            yield line.decode(errors="replace")
