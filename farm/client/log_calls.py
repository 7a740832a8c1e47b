"""Logs of head and nodes through the SDK."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from farm.client.base import Calls
from farm.client.followed import FOLLOWED_LINES, NewLines
from farm.client.times import timestamp
from heliostat.v1 import fleet_service_pb2 as pb

LOGS_SECONDS: Final = 60.0
"""Cards answer at their next exchange; the gateway waits for them, and gives up before this."""
FOLLOW_SECONDS: Final = 1.0
"""Between an answer and the next question."""


class LogCalls(Calls):
    """A part of `Farm`."""

    def logs(
        self, target: str, *, lines: int = 200, since: datetime | None = None
    ) -> pb.ReadLogsResponse:
        """The newest lines of a clip (its id, or BATCH/NAME), a card, a node or of the head.

        The head's are `coordinator` and `gateway`. Waits for cards to answer, for seconds.
        """
        request = pb.ReadLogsRequest(target=target, lines_max=lines, since=timestamp(since))
        return self._connection.call(self._fleet.ReadLogs, request, LOGS_SECONDS)

    def follow_logs(
        self, target: str, *, lines: int = 200, since: datetime | None = None
    ) -> Iterator[pb.ReadLogsResponse]:
        """The same again and again, for ever; each answer has only lines that are new."""
        seen = NewLines()
        while True:
            answer = self.logs(target, lines=lines, since=since)
            since = seen.pick(answer, since)
            yield answer
            lines = FOLLOWED_LINES if since else lines
            time.sleep(FOLLOW_SECONDS)
