"""`BatchService`: what production houses ask. Reads from the ledger, writes by the coordinator."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence

from farm.domain.clip import ClipState
from farm.gateway.chunks import list_chunks
from farm.gateway.coordinator_link import GatewayBusy
from farm.gateway.desk import Desk
from farm.gateway.grpc_errors import BadRequest, Context, streaming, unary
from farm.gateway.metrics import Meters
from farm.gateway.quotes import Quotes
from farm.gateway.requests import batch_named, clip_query, page_after, request_row
from farm.gateway.retaking import Retaking
from farm.gateway.submission import submit
from farm.gateway.views import STATES_BY_NUMBER, add_preview, batch_views, clip_views
from farm.gateway.watch import watch
from farm.gateway.work import list_work
from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import types_pb2 as types_pb

_RETRIABLE = (ClipState.FAILED, ClipState.CANCELLED)


class BatchService(Retaking, Quotes):
    """The calls of `batch_service.proto`, each a few lines over the desk."""

    def __init__(self, desk: Desk, meters: Meters) -> None:
        super().__init__(desk)
        self._meters = meters
        self._watchers = 0

    @unary
    async def Submit(  # noqa: N802 - the contract's name
        self, parts: AsyncIterator[batch_pb.SubmitRequest], _context: Context
    ) -> batch_pb.SubmitResponse:
        """Take a batch in, whole or not at all."""
        outcome = "error"
        try:
            response = await submit(self._desk, parts)
            outcome = _outcome(response)
            return response
        finally:
            self._meters.submissions.labels(outcome).inc()

    @unary
    async def Get(  # noqa: N802
        self, request: batch_pb.GetRequest, _context: Context
    ) -> batch_pb.GetResponse:
        """One batch."""
        return batch_pb.GetResponse(batch=await self._desk.batch(batch_named(request.batch_id)))

    @unary
    async def List(  # noqa: N802
        self, request: batch_pb.ListRequest, _context: Context
    ) -> batch_pb.ListResponse:
        """Batches, the newest first."""
        size = self._page_size(request.page_size)
        ledger = self._desk.ledger

        def read() -> batch_pb.ListResponse:
            found = ledger.batches(
                limit=size + 1,
                before=request.page_token,
                project=request.project,
                active=request.active,
                ended_after=request.ended_after.ToMicroseconds() / 1e6
                if request.HasField("ended_after")
                else math.inf,
            )
            page = found[:size]
            return batch_pb.ListResponse(
                batches=batch_views(ledger, page),
                next_page_token=page[-1].batch_id if len(found) > size else "",
            )

        return await self._desk.threads.run(read)

    @unary
    async def ListClips(  # noqa: N802
        self, request: batch_pb.ListClipsRequest, _context: Context
    ) -> batch_pb.ListClipsResponse:
        """Clips of a batch, in the order of the file."""
        size = self._page_size(request.page_size)
        after = page_after(request.page_token)
        states, query = _states(request.states), clip_query(request)
        ledger, batch_id = self._desk.ledger, batch_named(request.batch_id)
        presign = self._desk.objects.presign_get if request.with_urls else None

        def read() -> batch_pb.ListClipsResponse:
            batch = ledger.find_batch(batch_id)
            found = ledger.clips(
                batch.batch_id, limit=size + 1, after=after, states=states, query=query
            )
            page = found[:size]
            clips = clip_views(ledger, page, presign)
            for clip in clips:
                if presign and clip.state == types_pb.CLIP_STATE_HELD:
                    add_preview(clip, ledger.chunks(clip.clip_id), presign)
            return batch_pb.ListClipsResponse(
                clips=clips,
                next_page_token=str(page[-1].clip.ordinal) if len(found) > size else "",
            )

        return await self._desk.threads.run(read)

    @unary
    async def ListChunks(  # noqa: N802
        self, request: batch_pb.ListChunksRequest, _context: Context
    ) -> batch_pb.ListChunksResponse:
        """Recorded chunks of a clip."""
        return await list_chunks(self._desk, request, self._page_size(request.page_size))

    @unary
    async def ListWork(  # noqa: N802
        self, request: batch_pb.ListWorkRequest, _context: Context
    ) -> batch_pb.ListWorkResponse:
        """What was done for each clip."""
        return await list_work(self._desk, request, self._page_size(request.page_size))

    @streaming
    async def Watch(  # noqa: N802
        self, request: batch_pb.WatchRequest, _context: Context
    ) -> AsyncIterator[batch_pb.WatchResponse]:
        """Every change of a batch from an event on."""
        batch_named(request.batch_id)
        if self._watchers >= self._desk.limits.watchers_max:
            raise GatewayBusy(f"{self._watchers} streams of events are open (watchers_max)")
        self._watchers += 1
        self._meters.watchers.set(self._watchers)
        try:
            async for event in watch(self._desk, request):
                yield event
        finally:
            self._watchers -= 1
            self._meters.watchers.set(self._watchers)

    @unary
    async def Cancel(  # noqa: N802
        self, request: batch_pb.CancelRequest, _context: Context
    ) -> batch_pb.CancelResponse:
        """Call off a batch, or some of its clips."""
        batch = await self._desk.batch(batch_named(request.batch_id))
        asked = request_row(request, request.request_id, batch.batch_id)
        answer = await self._desk.answered(asked)
        if answer is None:
            reason = request.reason or "cancelled by request"
            clips = await self._named(batch.batch_id, request.clips)
            answer = await self._desk.link.cancel(batch.batch_id, clips, reason, asked)
        return batch_pb.CancelResponse(
            cancelled=answer.result, batch=await self._desk.batch(batch.batch_id)
        )

    @unary
    async def Retry(  # noqa: N802
        self, request: batch_pb.RetryRequest, _context: Context
    ) -> batch_pb.RetryResponse:
        """Put failed or cancelled clips back into the queue."""
        batch = await self._desk.batch(batch_named(request.batch_id))
        asked = request_row(request, request.request_id, batch.batch_id)
        states = _states(request.states) or [ClipState.FAILED]
        if not set(states) <= set(_RETRIABLE):
            raise BadRequest("only FAILED and CANCELLED clips can be retried")
        answer = await self._desk.answered(asked)
        if answer is None:
            clips = await self._named(batch.batch_id, request.clips)
            answer = await self._desk.link.retry(batch.batch_id, clips, states, asked)
        return batch_pb.RetryResponse(
            requeued=answer.result, batch=await self._desk.batch(batch.batch_id)
        )

    @unary
    async def PrepareInputs(  # noqa: N802
        self, request: batch_pb.PrepareInputsRequest, _context: Context
    ) -> batch_pb.PrepareInputsResponse:
        """Which files are there, and where to put the others."""
        return await self._desk.inputs.prepare(request)

    async def _named(self, batch_id: str, names: Sequence[str]) -> list[str]:
        """The ids of clips, of a name its latest version's. Raises `NotFound`."""
        if not names:
            return []
        ids = await self._desk.threads.run(self._ids, batch_id, set(names))
        return sorted(set(ids.values()))

    def _page_size(self, asked: int) -> int:
        """Sizes above the limit are cut to it, as the answer's length shows."""
        limits = self._desk.limits
        return min(asked, limits.page_max) or limits.page_default


def _outcome(response: batch_pb.SubmitResponse) -> str:
    if response.problems:
        return "refused"
    if response.repeated_request:
        return "repeated"
    return "accepted" if response.HasField("batch") else "checked"


def _states(numbers: Sequence[types_pb.ClipState.ValueType]) -> list[ClipState]:
    try:
        return [STATES_BY_NUMBER[number] for number in numbers]
    except KeyError as error:
        raise BadRequest(f"{error.args[0]} is no state of a clip") from None
