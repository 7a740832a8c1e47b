"""Which lines of a log that is asked for again and again are new."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Final

from heliostat.logs.reading import fields_of
from heliostat.v1 import fleet_service_pb2 as pb

FOLLOWED_LINES: Final = 2000
"""Asked for at once while a log is followed."""
OVERLAP: Final = timedelta(seconds=15)
"""Asked for again: one card may answer later than another, with older lines."""
SEEN_MAX: Final = 20_000


class NewLines:
    """Remembers the lines that were there before."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()

    def pick(self, answer: pb.ReadLogsResponse, since: datetime | None) -> datetime | None:
        """Leave only new lines in an answer; returns since when to ask the next time."""
        new = [line for line in answer.lines if line not in self._seen]
        self._seen.update(dict.fromkeys(new))
        while len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)
        del answer.lines[:]
        answer.lines.extend(new)
        if not new:
            return since
        latest = datetime.fromisoformat(fields_of(new[-1])["ts"]) - OVERLAP
        return latest if since is None else max(since, latest)
