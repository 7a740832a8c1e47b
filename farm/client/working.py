"""What the farm did for a batch's clips, as a method of a `Farm`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from farm.client.base import Calls
from heliostat.v1 import batch_service_pb2 as pb

_PAGE: Final = 1000


class Working(Calls):
    """Tries, times, cards and energy."""

    def work(self, batch_id: str) -> Iterator[pb.ClipWork]:
        """What was done for each clip of a batch, in the order of its file."""
        request = pb.ListWorkRequest(batch_id=batch_id, page_size=_PAGE)
        while True:
            answer = self._connection.call(self._batches.ListWork, request)
            yield from answer.works
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token
