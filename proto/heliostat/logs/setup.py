"""How both halves of Heliostat log: one JSON object a line, or a line for a person at a terminal.

Everything logs by the standard library's `logging`; `configure` is called once in each process.
The fields of a line are the contract by which `farm logs` finds and merges them: `ts` (RFC 3339,
UTC), `level`, `component`, `logger`, `event`, and where they apply `clip_id`, `attempt`,
`batch_id`, `card_id`, `epoch`, `exception`. Needs structlog, which clients do not have.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Any, Final

import structlog
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.stdlib import ExtraAdder, ProcessorFormatter
from structlog.typing import EventDict

from heliostat.logs.reading import timestamp
from heliostat.logs.settings import FILE_BYTES_MAX, FILES_MAX, LEVEL_VARIABLE, LEVELS

OWN: Final = ("farm", "node_agent", "bench")
"""Our own loggers, which the level is of. Libraries are heard from WARNING on, always: at DEBUG
some of them write headers and bodies."""
TEXT_CHARACTERS_MAX: Final = 8_000
"""Of an event, and of an exception."""

_SECRETS: Final = (
    (re.compile(r"(\bhttps?://[^\s?#'\"<>]+)\?[^\s'\"<>]*"), r"\1?…"),
    (re.compile(r"\?(?=[^\s'\"<>]*X-Amz-)[^\s'\"<>)]*"), "?…"),  # as urllib3 writes a URL: its path
    (re.compile(r"(\b[a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s@'\"]+@"), r"\1…@"),
    (re.compile(r"(?i)\b(bearer)\s+[^\s'\",]+"), r"\1 …"),
)
_encode: Final = json.JSONEncoder(ensure_ascii=False).encode
_fields: dict[str, Any] = {}

logger = logging.getLogger(__name__)


def configure(component: str, *, file: Path | None = None, level: str = "", **fields: Any) -> None:
    """Log to `file`, bounded and rotated, or to standard error; `fields` go into every line.

    The level is HELIOSTAT_LOG_LEVEL's where none is given, else "info". A process lives also where
    its log cannot be written: what cannot is lost, or goes to standard error from the start.
    """
    known = level or os.environ.get(LEVEL_VARIABLE, "").lower()
    for name in OWN:
        logging.getLogger(name).setLevel(known.upper() if known in LEVELS else logging.INFO)
    _fields.clear()
    _fields.update(component=component, **fields)
    refused = None
    handler = _stderr_handler(sys.stderr)
    if file is not None:
        try:
            handler = _file_handler(file)
        except OSError as error:
            refused = error
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.raiseExceptions = False
    logging.captureWarnings(True)
    if refused is not None:
        logger.warning("%s cannot be written (%s): the log goes to standard error", file, refused)


def add_fields(**fields: Any) -> None:
    """Have them in every line of this process from now on."""
    _fields.update(fields)


@contextmanager
def about(**fields: Any) -> Iterator[None]:
    """What is logged within, in this task and those begun in it, carries these fields."""
    with bound_contextvars(**fields):
        yield


def redacted(text: str) -> str:
    """Text without what opens something: queries of URLs, passwords in them, bearer tokens."""
    if "/" not in text and "earer" not in text.lower():  # most texts, in no time
        return text
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


class _LogFile(RotatingFileHandler):
    """Turned over once it is full; to know a line's length before would be to format it twice."""

    def shouldRollover(self, _record: logging.LogRecord) -> bool:  # noqa: N802 - logging's name
        stream: IO[str] | None = self.stream  # None: it could not be opened anew
        return stream is not None and stream.tell() >= self.maxBytes


def _file_handler(file: Path) -> logging.Handler:
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = _LogFile(file, maxBytes=FILE_BYTES_MAX, backupCount=FILES_MAX - 1, encoding="utf-8")
    handler.setFormatter(formatter(_json))
    return handler


def _stderr_handler(stream: IO[str]) -> logging.Handler:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        formatter(
            structlog.dev.ConsoleRenderer(timestamp_key="ts", sort_keys=False)
            if stream.isatty()
            else _json
        )
    )
    return handler


def formatter(renderer: Any) -> ProcessorFormatter:
    """Records of the standard library's `logging` as lines that `renderer` writes."""
    return ProcessorFormatter(
        foreign_pre_chain=[merge_contextvars, ExtraAdder()],
        processors=[structlog.processors.format_exc_info, _in_order, renderer],
    )


def _json(_logger: Any, _method: str, event: EventDict) -> str:
    return _encode(event)


def _in_order(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """The fields of a line, those that all have first; texts are bounded and without secrets."""
    record: logging.LogRecord = event.pop("_record")
    head = {
        "ts": timestamp(record.created),
        "level": record.levelname.lower(),
        "component": "",
        "logger": record.name,
        "event": "",
    }
    fields = {**head, **_fields, **event}
    # those with an underscore are structlog's and Ray's own
    return {key: _plain(value) for key, value in fields.items() if not key.startswith("_")}


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if not isinstance(value, str):
        return value if isinstance(value, bool | int | float | list | None) else str(value)
    text = redacted(value)
    if len(text) <= TEXT_CHARACTERS_MAX:
        return text
    half = TEXT_CHARACTERS_MAX // 2  # an exception's end says what it was
    return f"{text[:half]} … {text[-half:]}"
