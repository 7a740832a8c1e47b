"""A clip's recorded chunks, and whole reels of them, as methods of a `Farm`, for asyncio.

Made of its twin in farm/client by tools/async_sdk.py: change that one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

from farm.client.aio.base import AsyncCalls
from heliostat.v1 import batch_service_pb2 as pb


class AsyncReels(AsyncCalls):
    """What `farm-node` extends, branches and decodes again."""

    async def chunks(self, clip_id: str) -> AsyncIterator[pb.ListChunksResponse]:
        """Pages of a clip's recorded chunks, with presigned URLs."""
        request = pb.ListChunksRequest(clip_id=clip_id, page_size=100)
        while True:
            answer = await self._connection.call(self._batches.ListChunks, request)
            yield answer
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    async def fetch_reel(
        self, clip_id: str, film: Path, *, on_bytes: Callable[[int], None] = lambda _bytes: None
    ) -> Path:
        """Download the negatives and segments of a take that was fetched to `film`; its reel.

        What is there is not fetched again. Raises `FetchFailed`, also where retention has let
        the chunks go.
        """
        return await self._connection.in_thread(
            lambda farm: farm.fetch_reel(clip_id, film, on_bytes=on_bytes)
        )
