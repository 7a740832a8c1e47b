"""What a render child says on standard error, in its agent's log.

Lines of its own logging keep their time, level and ids; anything else (a library's words, a driver
that dies) is a warning that carries the attempts in hand.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime
from typing import IO, Any, Final

from heliostat.logs.reading import fields_of
from node_agent.outbox import AttemptKey

LINE_BYTES_MAX: Final = 16 << 10
_OWN: Final = {"ts", "level", "logger", "event"}
"""Fields of a line that are parts of a record; the others are its extras."""

logger = logging.getLogger("node_agent.render")


class ChildLog:
    """The pipe that is one child's standard error. `writer` is for the child alone."""

    def __init__(self, in_hand: Callable[[], Collection[AttemptKey]]) -> None:
        """`in_hand` says what the child has been given; it is asked from another thread."""
        reader, writer = os.pipe()
        self._in_hand = in_hand
        self._reader = os.fdopen(reader, "rb")
        self.writer: IO[bytes] = os.fdopen(writer, "wb", buffering=0)

    def follow(self) -> None:
        """The child has its end: log what comes, until nobody holds that end any more."""
        self.writer.close()
        threading.Thread(target=self._run, name="render-child-log", daemon=True).start()

    def _run(self) -> None:
        with self._reader:
            while line := self._reader.readline(LINE_BYTES_MAX):
                if text := line.decode(errors="replace").rstrip():
                    self._log(text)

    def _log(self, text: str) -> None:
        fields = fields_of(text)
        level = logging.getLevelNamesMapping().get(str(fields.get("level", "")).upper())
        if level is None or "ts" not in fields:
            logger.warning("%s", text, extra={"component": "child", **ids_of(self._in_hand())})
            return
        named = logging.getLogger(str(fields["logger"]))
        if not named.isEnabledFor(level):
            return
        extras = {key: value for key, value in fields.items() if key not in _OWN}
        record = named.makeRecord(
            named.name, level, "", 0, str(fields["event"]), (), None, extra=extras
        )
        with suppress(ValueError):
            record.created = datetime.fromisoformat(fields["ts"]).timestamp()
        named.handle(record)


def ids_of(keys: Collection[AttemptKey]) -> dict[str, Any]:
    """The fields by which a line belongs to attempts: to one, or to several at once."""
    if len(keys) == 1:
        ((clip_id, attempt),) = keys
        return {"clip_id": clip_id, "attempt": attempt}
    return {"clip_ids": sorted({clip_id for clip_id, _ in keys})} if keys else {}
