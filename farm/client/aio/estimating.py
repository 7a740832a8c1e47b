"""What batches should take and cost, for asyncio.

Made of its twin in farm/client by tools/async_sdk.py: change that one.
"""

from __future__ import annotations

from farm.client.aio.base import AsyncCalls
from heliostat.v1 import batch_service_pb2 as pb


class AsyncEstimating(AsyncCalls):
    """Calls of `Farm` that quote."""

    async def estimate(self, batch_id: str) -> pb.EstimateResponse:
        """What is left of a batch, beside what was promised and what it has cost.

        For a file that is not submitted: `submit` with `dry_run`, whose answer has its quote.
        """
        return await self._connection.call(
            self._batches.Estimate, pb.EstimateRequest(batch_id=batch_id)
        )
