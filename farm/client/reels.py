"""A clip's recorded chunks, and whole reels of them, as methods of a `Farm`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from farm.client import reel_files
from farm.client.base import Calls
from heliostat.v1 import batch_service_pb2 as pb


class Reels(Calls):
    """What `farm-node` extends, branches and decodes again."""

    def chunks(self, clip_id: str) -> Iterator[pb.ListChunksResponse]:
        """Pages of a clip's recorded chunks, with presigned URLs."""
        request = pb.ListChunksRequest(clip_id=clip_id, page_size=100)
        while True:
            answer = self._connection.call(self._batches.ListChunks, request)
            yield answer
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    def fetch_reel(
        self, clip_id: str, film: Path, *, on_bytes: Callable[[int], None] = lambda _bytes: None
    ) -> Path:
        """Download the negatives and segments of a take that was fetched to `film`; its reel.

        What is there is not fetched again. Raises `FetchFailed`, also where retention has let
        the chunks go.
        """
        return reel_files.fetch_reel(self.chunks, clip_id, film, on_bytes)
