"""The farm as a Python object: what the command line does, programs can do.

    with Farm("127.0.0.1:8460", token) as farm:
        batch = farm.submit(Path("prompts.csv"), column_map={"duration": "frames"}).batch
        for event in farm.watch(batch.batch_id):
            print(event.clip_name, event.kind)
        farm.fetch(batch.batch_id, Path("takes"))

Answers are the messages of `heliostat.v1`, typed by their stubs. Every call has a deadline and
raises a `FarmError` of `farm.client.errors` or `farm.domain.errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from farm.client import fetch as fetching
from farm.client import watch as watching
from farm.client.base import new_request_id
from farm.client.clip_filter import ALL_CLIPS, ClipFilter
from farm.client.connection import Connection
from farm.client.deciding import Deciding
from farm.client.economics import Economics
from farm.client.estimating import Estimating
from farm.client.fleet_calls import FleetCalls
from farm.client.local import find_local
from farm.client.log_calls import LogCalls
from farm.client.reels import Reels
from farm.client.retaking import Retaking
from farm.client.reviewing import Reviewing
from farm.client.rollouts import RolloutCalls
from farm.client.saved_looks import SavedLooks
from farm.client.steering import Steering
from farm.client.submitting import Submitted, Submitting
from farm.client.times import timestamp
from farm.client.usage import UsageCalls
from farm.client.working import Working
from heliostat.v1 import batch_service_pb2 as pb
from heliostat.v1 import batch_service_pb2_grpc as batch_rpc
from heliostat.v1 import fleet_service_pb2_grpc as fleet_rpc
from heliostat.v1 import types_pb2 as types

__all__ = ["PAGE", "Farm", "Submitted"]

PAGE = 1000
"""Clips asked for at once."""


class Farm(
    Deciding,
    Economics,
    Estimating,
    FleetCalls,
    LogCalls,
    Reels,
    Retaking,
    Reviewing,
    RolloutCalls,
    SavedLooks,
    Steering,
    Submitting,
    UsageCalls,
    Working,
):
    """A connection to one farm. Use it in a `with`, or `close` it."""

    def __init__(
        self, endpoint: str, token: str = "", ca: Path | None = None, *, name: str = ""
    ) -> None:
        """Connect to `endpoint` (HOST:PORT); `ca` is the PEM file of a farm that speaks TLS, and
        `name` what its certificate calls it, where that is not HOST."""
        self._connection = Connection(endpoint, token, ca, name=name)
        self._batches = batch_rpc.BatchServiceStub(self._connection.channel)
        self._fleet = fleet_rpc.FleetServiceStub(self._connection.channel)

    @classmethod
    def local(cls, data_dir: Path) -> Farm:
        """The farm that runs in this data directory."""
        found = find_local(data_dir)
        return cls(found.endpoint, found.token, found.ca, name=found.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def endpoint(self) -> str:
        """Where the farm is."""
        return self._connection.endpoint

    def close(self) -> None:
        """End every call that is still open."""
        self._connection.close()

    def get(self, batch_id: str) -> types.Batch:
        """A batch, by its id or by a name that only it has."""
        answer = self._connection.call(self._batches.Get, pb.GetRequest(batch_id=batch_id))
        return answer.batch

    def list(
        self, project: str = "", *, active: bool = False, ended_after: datetime | None = None
    ) -> Iterator[types.Batch]:
        """All batches, the newest first; of `active` ones those with open clips, or that ended
        after a time."""
        request = pb.ListRequest(
            project=project, page_size=100, active=active, ended_after=timestamp(ended_after)
        )
        while True:
            answer = self._connection.call(self._batches.List, request)
            yield from answer.batches
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    def clips(
        self,
        batch_id: str,
        states: Sequence[types.ClipState.ValueType] = (),
        *,
        only: ClipFilter = ALL_CLIPS,
    ) -> Iterator[types.Clip]:
        """A batch's clips in the order of its file, all or those that `states` and `only` fit."""
        for page in self.clip_pages(batch_id, states=states, only=only):
            yield from page.clips

    def clip_pages(
        self,
        batch_id: str,
        *,
        states: Sequence[types.ClipState.ValueType] = (),
        only: ClipFilter = ALL_CLIPS,
        with_urls: bool = False,
        page_size: int = PAGE,
        page_token: str = "",
    ) -> Iterator[pb.ListClipsResponse]:
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
            answer = self._connection.call(self._batches.ListClips, request)
            yield answer
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    def watch(
        self,
        batch_id: str,
        *,
        after: int = 0,
        until_ended: bool = True,
        patience_seconds: float = 300.0,
        on_interrupted: Callable[[str], None] = lambda _why: None,
    ) -> Iterator[pb.WatchResponse]:
        """Every change of a batch after sequence number `after`, without a gap or a repeat."""
        resuming = watching.Resuming(
            self.endpoint,
            batch_id,
            after=after,
            until_ended=until_ended,
            patience_seconds=patience_seconds,
            on_interrupted=on_interrupted,
        )
        return watching.watch(self._connection, self._batches, resuming)

    def cancel(
        self, batch_id: str, clips: Sequence[str] = (), *, reason: str = "", request_id: str = ""
    ) -> pb.CancelResponse:
        """Cancel a batch, or the clips named."""
        request = pb.CancelRequest(
            request_id=request_id or new_request_id(),
            batch_id=batch_id,
            clips=clips,
            reason=reason,
        )
        return self._connection.call(self._batches.Cancel, request)

    def retry(
        self,
        batch_id: str,
        clips: Sequence[str] = (),
        *,
        states: Sequence[types.ClipState.ValueType] = (),
        request_id: str = "",
    ) -> pb.RetryResponse:
        """Queue failed (or, by `states`, cancelled) clips again, all or those named."""
        request = pb.RetryRequest(
            request_id=request_id or new_request_id(),
            batch_id=batch_id,
            clips=clips,
            states=states,
        )
        return self._connection.call(self._batches.Retry, request)

    def fetch(
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
        batch = self.get(batch_id)
        events = self.watch(batch.batch_id) if follow else ()
        return fetching.fetch(
            self.clip_pages, batch, directory, on_progress, only=only, events=events
        )
