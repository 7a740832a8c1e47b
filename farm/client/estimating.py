"""What batches should take and cost."""

from __future__ import annotations

from farm.client.base import Calls
from heliostat.v1 import batch_service_pb2 as pb


class Estimating(Calls):
    """Calls of `Farm` that quote."""

    def estimate(self, batch_id: str) -> pb.EstimateResponse:
        """What is left of a batch, beside what was promised and what it has cost.

        For a file that is not submitted: `submit` with `dry_run`, whose answer has its quote.
        """
        return self._connection.call(self._batches.Estimate, pb.EstimateRequest(batch_id=batch_id))
