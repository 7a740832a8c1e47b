"""Another prompt for clips that render, as a method of a `Farm`, for asyncio.

Made of its twin in farm/client by tools/async_sdk.py: change that one.
"""

from __future__ import annotations

from collections.abc import Sequence

from farm.client.aio.base import AsyncCalls
from farm.client.base import new_request_id
from heliostat.v1 import batch_service_pb2 as pb


class AsyncSteering(AsyncCalls):
    """Changes of what is rendering."""

    async def steer(
        self,
        batch_id: str,
        clips: Sequence[str],
        prompt: str,
        *,
        chunk: int = 0,
        blend_chunks: int = 0,
        request_id: str = "",
    ) -> int:
        """Have clips that have not ended, by name or id, follow another prompt; returns how many.

        From `chunk` on, or the next one that is begun (0); it takes over within `blend_chunks`, 1
        at once, 0 the usual blend. One for a chunk takes the place of one that was asked for
        before and has not shown yet.
        """
        request = pb.SteerRequest(
            request_id=request_id or new_request_id(),
            batch_id=batch_id,
            clips=clips,
            prompt=prompt,
            chunk=chunk,
            blend_chunks=blend_chunks,
        )
        return (await self._connection.call(self._batches.Steer, request)).clips
