"""Logs of head and nodes through the SDK, for asyncio.

Made of its twin in farm/client by tools/async_sdk.py: change that one.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import datetime

from farm.client.aio.base import AsyncCalls
from farm.client.followed import FOLLOWED_LINES, NewLines
from farm.client.log_calls import FOLLOW_SECONDS, LOGS_SECONDS
from farm.client.times import timestamp
from heliostat.v1 import fleet_service_pb2 as pb


class AsyncLogCalls(AsyncCalls):
    """A part of `Farm`."""

    async def logs(
        self, target: str, *, lines: int = 200, since: datetime | None = None
    ) -> pb.ReadLogsResponse:
        """The newest lines of a clip (its id, or BATCH/NAME), a card, a node or of the head.

        The head's are `coordinator` and `gateway`. Waits for cards to answer, for seconds.
        """
        request = pb.ReadLogsRequest(target=target, lines_max=lines, since=timestamp(since))
        return await self._connection.call(self._fleet.ReadLogs, request, LOGS_SECONDS)

    async def follow_logs(
        self, target: str, *, lines: int = 200, since: datetime | None = None
    ) -> AsyncIterator[pb.ReadLogsResponse]:
        """The same again and again, for ever; each answer has only lines that are new."""
        seen = NewLines()
        while True:
            answer = await self.logs(target, lines=lines, since=since)
            since = seen.pick(answer, since)
            yield answer
            lines = FOLLOWED_LINES if since else lines
            time.sleep(FOLLOW_SECONDS)
