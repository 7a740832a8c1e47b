"""What people decide of batches and clips, as methods of a `Farm`, for asyncio.

Made of its twin in farm/client by tools/async_sdk.py: change that one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from farm.client.aio.base import AsyncCalls
from farm.client.base import new_request_id
from farm.client.looks import Opened
from farm.client.times import timestamp
from heliostat.v1 import batch_service_pb2 as pb
from heliostat.v1 import types_pb2 as types


class AsyncDeciding(AsyncCalls):
    """Pauses, amendments, first looks. Each call that gives no `request_id` is one of its own."""

    async def pause(self, batch_id: str, *, reason: str = "", request_id: str = "") -> types.Batch:
        """Pause a batch: its cards give its clips up at the next chunk boundary."""
        request = pb.PauseRequest(
            request_id=request_id or new_request_id(), batch_id=batch_id, reason=reason
        )
        return (await self._connection.call(self._batches.Pause, request)).batch

    async def resume(self, batch_id: str, *, request_id: str = "") -> types.Batch:
        """Let a paused batch's clips go out again."""
        request = pb.ResumeRequest(request_id=request_id or new_request_id(), batch_id=batch_id)
        return (await self._connection.call(self._batches.Resume, request)).batch

    async def amend(
        self,
        batch_id: str,
        *,
        priority: int | None = None,
        deadline: datetime | None = None,
        no_deadline: bool = False,
        every: int | None = None,
        failures_max: int | None = None,
        needs: types.Needs | None = None,
        limits: Sequence[str] = (),
        no_limits: bool = False,
        first_look: bool | None = None,
        budget: types.Budget | None = None,
        webhook: str | None = None,
        deliver_to: str | None = None,
        request_id: str = "",
    ) -> pb.AmendResponse:
        """Change what a batch is planned by; what is not given stays.

        `needs`, `limits` and `budget` replace those that it has, and an empty `webhook` or
        `deliver_to` is none. No `first_look` lets held clips go on.
        """
        request = pb.AmendRequest(
            request_id=request_id or new_request_id(),
            batch_id=batch_id,
            priority=priority,
            deadline=timestamp(deadline),
            no_deadline=no_deadline,
            every=every,
            failures_max=failures_max,
            needs=needs,
            limits=limits,
            no_limits=no_limits,
            first_look=first_look,
            budget=budget,
            webhook=webhook,
            deliver_to=deliver_to,
        )
        return await self._connection.call(self._batches.Amend, request)

    async def approve(
        self,
        batch_id: str,
        clips: Sequence[str] = (),
        *,
        score_min: float | None = None,
        score_below: float | None = None,
        note: str = "",
        request_id: str = "",
    ) -> pb.LookResponse:
        """Let held clips go on, all of them, those named, or those whose scores fit."""
        request = pb.LookRequest(
            request_id=request_id or new_request_id(),
            batch_id=batch_id,
            clips=clips,
            approve=True,
            note=note,
            score_min=score_min,
            score_below=score_below,
        )
        return await self._connection.call(self._batches.Look, request)

    async def reject(
        self,
        batch_id: str,
        clips: Sequence[str] = (),
        *,
        score_min: float | None = None,
        score_below: float | None = None,
        note: str = "",
        request_id: str = "",
    ) -> pb.LookResponse:
        """Call held clips off, all of them, those named, or those whose scores fit."""
        request = pb.LookRequest(
            request_id=request_id or new_request_id(),
            batch_id=batch_id,
            clips=clips,
            note=note,
            score_min=score_min,
            score_below=score_below,
        )
        return await self._connection.call(self._batches.Look, request)

    async def score(
        self,
        batch_id: str,
        scores: Mapping[str, float],
        *,
        notes: Mapping[str, str] | None = None,
        request_id: str = "",
    ) -> int:
        """Score clips by their names or ids, and note what was seen; returns how many clips."""
        request = pb.ScoreRequest(
            request_id=request_id or new_request_id(),
            batch_id=batch_id,
            scores=scores,
            notes=notes or {},
        )
        return (await self._connection.call(self._batches.Score, request)).clips

    async def looks(self, batch_id: str) -> AsyncIterator[types.Clip]:
        """A batch's held clips, with their scores and URLs of their first chunks."""
        request = pb.ListClipsRequest(
            batch_id=batch_id, states=[types.CLIP_STATE_HELD], with_urls=True, page_size=500
        )
        while True:
            answer = await self._connection.call(self._batches.ListClips, request)
            for each in answer.clips:
                yield each
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    async def open_looks(self, batch_id: str, directory: Path) -> AsyncIterator[Opened]:
        """Fetch the first chunk of each held clip as a playable file, verified.

        Files that are there already are passed over. Raises `FetchFailed`.
        """
        async for each in self._connection.each_in_thread(
            lambda farm: farm.open_looks(batch_id, directory)
        ):
            yield each
