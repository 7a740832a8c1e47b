"""The farm as a Python object: what the command line does, programs can do, for asyncio.

Made of its twin in farm/client by tools/async_sdk.py: change that one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from farm.client import fetch as fetching
from farm.client import watch as watching
from farm.client.aio import connection as aio_connection
from farm.client.aio.connection import AsyncConnection
from farm.client.aio.deciding import AsyncDeciding
from farm.client.aio.economics import AsyncEconomics
from farm.client.aio.estimating import AsyncEstimating
from farm.client.aio.fleet_calls import AsyncFleetCalls
from farm.client.aio.log_calls import AsyncLogCalls
from farm.client.aio.reels import AsyncReels
from farm.client.aio.retaking import AsyncRetaking
from farm.client.aio.reviewing import AsyncReviewing
from farm.client.aio.rollouts import AsyncRolloutCalls
from farm.client.aio.saved_looks import AsyncSavedLooks
from farm.client.aio.steering import AsyncSteering
from farm.client.aio.submitting import AsyncSubmitting
from farm.client.aio.usage import AsyncUsageCalls
from farm.client.aio.working import AsyncWorking
from farm.client.base import new_request_id
from farm.client.clip_filter import ALL_CLIPS, ClipFilter
from farm.client.farm import PAGE
from farm.client.local import find_local
from farm.client.times import timestamp
from heliostat.v1 import batch_service_pb2 as pb
from heliostat.v1 import batch_service_pb2_grpc as batch_rpc
from heliostat.v1 import fleet_service_pb2_grpc as fleet_rpc
from heliostat.v1 import types_pb2 as types


class AsyncFarm(
    AsyncDeciding,
    AsyncEconomics,
    AsyncEstimating,
    AsyncFleetCalls,
    AsyncLogCalls,
    AsyncReels,
    AsyncRetaking,
    AsyncReviewing,
    AsyncRolloutCalls,
    AsyncSavedLooks,
    AsyncSteering,
    AsyncSubmitting,
    AsyncUsageCalls,
    AsyncWorking,
):
    """A connection to one farm. Use it in a `with`, or `close` it."""

    def __init__(
        self, endpoint: str, token: str = "", ca: Path | None = None, *, name: str = ""
    ) -> None:
        """Connect to `endpoint` (HOST:PORT); `ca` is the PEM file of a farm that speaks TLS, and
        `name` what its certificate calls it, where that is not HOST."""
        self._connection = AsyncConnection(endpoint, token, ca, name=name)
        self._batches = batch_rpc.BatchServiceStub(self._connection.channel)
        self._fleet = fleet_rpc.FleetServiceStub(self._connection.channel)

    @classmethod
    def local(cls, data_dir: Path) -> AsyncFarm:
        """The farm that runs in this data directory."""
        found = find_local(data_dir)
        return cls(found.endpoint, found.token, found.ca, name=found.name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def endpoint(self) -> str:
        """Where the farm is."""
        return self._connection.endpoint

    async def close(self) -> None:
        """End every call that is still open."""
        await self._connection.close()

    async def get(self, batch_id: str) -> types.Batch:
        """A batch, by its id or by a name that only it has."""
        answer = await self._connection.call(self._batches.Get, pb.GetRequest(batch_id=batch_id))
        return answer.batch

    async def list(
        self, project: str = "", *, active: bool = False, ended_after: datetime | None = None
    ) -> AsyncIterator[types.Batch]:
        """All batches, the newest first; of `active` ones those with open clips, or that ended
        after a time."""
        request = pb.ListRequest(
            project=project, page_size=100, active=active, ended_after=timestamp(ended_after)
        )
        while True:
            answer = await self._connection.call(self._batches.List, request)
            for each in answer.batches:
                yield each
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    async def clips(
        self,
        batch_id: str,
        states: Sequence[types.ClipState.ValueType] = (),
        *,
        only: ClipFilter = ALL_CLIPS,
    ) -> AsyncIterator[types.Clip]:
        """A batch's clips in the order of its file, all or those that `states` and `only` fit."""
        async for page in self.clip_pages(batch_id, states=states, only=only):
            for each in page.clips:
                yield each

    async def clip_pages(
        self,
        batch_id: str,
        *,
        states: Sequence[types.ClipState.ValueType] = (),
        only: ClipFilter = ALL_CLIPS,
        with_urls: bool = False,
        page_size: int = PAGE,
        page_token: str = "",
    ) -> AsyncIterator[pb.ListClipsResponse]:
        """The same page by page, from `page_token` on; with presigned URLs where asked for."""
        request = pb.ListClipsRequest(
            batch_id=batch_id,
            states=states,
            with_urls=with_urls,
            page_size=page_size,
            page_token=page_token,
        )
        only.put_into(request)
        while True:
            answer = await self._connection.call(self._batches.ListClips, request)
            yield answer
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    async def watch(
        self,
        batch_id: str,
        *,
        after: int = 0,
        until_ended: bool = True,
        patience_seconds: float = 300.0,
        on_interrupted: Callable[[str], None] = lambda _why: None,
    ) -> AsyncIterator[pb.WatchResponse]:
        """Every change of a batch after sequence number `after`, without a gap or a repeat."""
        resuming = watching.Resuming(
            self.endpoint,
            batch_id,
            after=after,
            until_ended=until_ended,
            patience_seconds=patience_seconds,
            on_interrupted=on_interrupted,
        )
        async for each in aio_connection.watch(self._connection, self._batches, resuming):
            yield each

    async def cancel(
        self, batch_id: str, clips: Sequence[str] = (), *, reason: str = "", request_id: str = ""
    ) -> pb.CancelResponse:
        """Cancel a batch, or the clips named."""
        request = pb.CancelRequest(
            request_id=request_id or new_request_id(), batch_id=batch_id, clips=clips, reason=reason
        )
        return await self._connection.call(self._batches.Cancel, request)

    async def retry(
        self,
        batch_id: str,
        clips: Sequence[str] = (),
        *,
        states: Sequence[types.ClipState.ValueType] = (),
        request_id: str = "",
    ) -> pb.RetryResponse:
        """Queue failed (or, by `states`, cancelled) clips again, all or those named."""
        request = pb.RetryRequest(
            request_id=request_id or new_request_id(), batch_id=batch_id, clips=clips, states=states
        )
        return await self._connection.call(self._batches.Retry, request)

    async def fetch(
        self,
        batch_id: str,
        directory: Path,
        *,
        only: ClipFilter = ALL_CLIPS,
        follow: bool = False,
        on_progress: Callable[[fetching.Progress], None] = lambda _progress: None,
    ) -> fetching.Fetched:
        """Download the takes and sidecars of a batch's DONE clips, verified; goes on where it was.

        With `follow` those to come as well, as they land, until the batch has ended. Raises
        `FetchFailed` when `directory` holds the takes of another batch.
        """
        return await self._connection.in_thread(
            lambda farm: farm.fetch(
                batch_id, directory, only=only, follow=follow, on_progress=on_progress
            )
        )
