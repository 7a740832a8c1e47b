"""Reviews of takes, as methods of a `Farm`, for asyncio.

Made of its twin in farm/client by tools/async_sdk.py: change that one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from farm.client.aio.base import AsyncCalls
from farm.client.base import new_request_id
from farm.client.clip_filter import ClipFilter
from farm.client.reviewing import APPROVED, REJECTED, Judged, _by_state
from heliostat.v1 import batch_service_pb2 as pb
from heliostat.v1 import types_pb2 as types


class AsyncReviewing(AsyncCalls):
    """Approvals and rejections of takes, and of what waits for a first look beside them."""

    async def review(
        self,
        batch_id: str,
        clips: Sequence[str],
        *,
        approve: bool,
        reviewer: str,
        note: str = "",
        request_id: str = "",
    ) -> pb.ReviewResponse:
        """Approve or reject takes of clips by their names (latest versions) or ids."""
        request = pb.ReviewRequest(
            request_id=request_id or new_request_id(),
            batch_id=batch_id,
            clips=clips,
            verdict=APPROVED if approve else REJECTED,
            note=note,
            reviewer=reviewer,
        )
        return await self._connection.call(self._batches.Review, request)

    async def awaiting_review(
        self, batch_id: str, where: Mapping[str, Sequence[str]] | None = None
    ) -> AsyncIterator[types.Clip]:
        """Finished clips, of each name the latest version, whose takes nobody has reviewed.

        `where`: only those whose columns have one of these values (`ClipFilter.where`).
        """
        async for each in self._connection.each_in_thread(
            lambda farm: farm.awaiting_review(batch_id, where)
        ):
            yield each

    async def judge(
        self, batch_id: str, clips: Sequence[str], *, approve: bool, reviewer: str, note: str = ""
    ) -> Judged:
        """Approve or reject clips by their states: held ones at their first look, takes by review.

        Of a name the latest version counts. Raises `NotFound`, and `BadRequest` for clips that are
        neither held nor done; then nothing has changed.
        """
        held, done = _by_state(batch_id, await self._named(batch_id, clips))
        looks = takes = 0
        batch: types.Batch | None = None
        if held:
            request = pb.LookRequest(
                request_id=new_request_id(),
                batch_id=batch_id,
                clips=held,
                approve=approve,
                note=note,
            )
            looked = await self._connection.call(self._batches.Look, request)
            looks, batch = (looked.clips, looked.batch)
        if done or batch is None:
            answer = await self.review(
                batch_id, done, approve=approve, reviewer=reviewer, note=note
            )
            takes, batch = (answer.clips, answer.batch)
        return Judged(looks, takes, batch)

    async def _named(self, batch_id: str, names: Sequence[str]) -> list[types.Clip]:
        """The clips of ids and of names, of these the latest versions, each once."""
        return await self._connection.in_thread(lambda farm: farm._named(batch_id, names))

    async def _listed(self, batch_id: str, only: ClipFilter) -> AsyncIterator[types.Clip]:
        request = pb.ListClipsRequest(batch_id=batch_id, page_size=1000)
        only.put_into(request)
        while True:
            answer = await self._connection.call(self._batches.ListClips, request)
            for each in answer.clips:
                yield each
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token
