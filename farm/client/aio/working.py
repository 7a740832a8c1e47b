"""What the farm did for a batch's clips, as a method of a `Farm`, for asyncio.

Made of its twin in farm/client by tools/async_sdk.py: change that one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from farm.client.aio.base import AsyncCalls
from farm.client.working import _PAGE
from heliostat.v1 import batch_service_pb2 as pb


class AsyncWorking(AsyncCalls):
    """Tries, times, cards and energy."""

    async def work(self, batch_id: str) -> AsyncIterator[pb.ClipWork]:
        """What was done for each clip of a batch, in the order of its file."""
        request = pb.ListWorkRequest(batch_id=batch_id, page_size=_PAGE)
        while True:
            answer = await self._connection.call(self._batches.ListWork, request)
            for each in answer.works:
                yield each
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token
