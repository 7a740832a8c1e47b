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

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from farm.client import fetch as fetching
from farm.client import submission
from farm.client import watch as watching
from farm.client.base import new_request_id
from farm.client.clip_filter import ALL_CLIPS, ClipFilter
from farm.client.connection import Connection
from farm.client.deciding import Deciding
from farm.client.errors import Refused
from farm.client.fleet_calls import FleetCalls
from farm.client.inputs import BesideFile, absolute_settings
from farm.client.local import find_local
from farm.client.reviewing import Reviewing
from farm.client.saved_looks import SavedLooks
from farm.client.submission import Planned
from farm.client.times import timestamp
from farm.domain.spec import Problem
from heliostat.v1 import batch_service_pb2 as pb
from heliostat.v1 import batch_service_pb2_grpc as batch_rpc
from heliostat.v1 import fleet_service_pb2_grpc as fleet_rpc
from heliostat.v1 import types_pb2 as types

PAGE = 1000
"""Clips asked for at once."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A submission without problems."""

    batch: types.Batch | None
    """None after a dry run."""
    clips: int
    frames: int
    warnings: list[Problem]
    repeated: bool
    """This request_id had been accepted before; `batch` is what it became then."""


class Farm(Deciding, Reviewing, FleetCalls, SavedLooks):
    """A connection to one farm. Use it in a `with`, or `close` it."""

    def __init__(self, endpoint: str, token: str = "", ca: Path | None = None) -> None:
        """Connect to `endpoint` (HOST:PORT); `ca` is the PEM file of a farm that speaks TLS."""
        self._connection = Connection(endpoint, token, ca)
        self._batches = batch_rpc.BatchServiceStub(self._connection.channel)
        self._fleet = fleet_rpc.FleetServiceStub(self._connection.channel)

    @classmethod
    def local(cls, data_dir: Path) -> Farm:
        """The farm that runs in this data directory."""
        found = find_local(data_dir)
        return cls(found.endpoint, found.token)

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

    def submit(
        self,
        what: Path | Iterable[Mapping[str, str]],
        *,
        name: str = "",
        project: str = "",
        priority: int = 0,
        column_map: Mapping[str, str] | None = None,
        set_fields: Mapping[str, str] | None = None,
        dry_run: bool = False,
        request_id: str = "",
        planned: Planned = Planned(),  # noqa: B008 - frozen
    ) -> Submitted:
        """Submit a file, or rows of text by column: all of it is accepted or none.

        Raises `Refused` with every problem. The same `request_id` twice is one batch; one is
        made up for each call that gives none. `name` is by default the file's. Relative paths
        of images and videos start where the file lies; a program's rows have absolute ones.
        `planned` is its deadline, what it needs, waits for and counts against.
        """
        column_map, set_fields = column_map or {}, set_fields or {}
        if isinstance(what, Path):
            set_fields = absolute_settings(set_fields, what.parent)
        options = submission.SubmitOptions(
            name=name or (what.stem if isinstance(what, Path) else "batch"),
            project=project,
            priority=priority,
            column_map=column_map,
            set_fields=set_fields,
            dry_run=dry_run,
            request_id=request_id or new_request_id(),
            planned=planned,
        )
        if isinstance(what, Path):
            checked = submission.check_file(what, column_map)
        else:
            checked = submission.check_source(submission.GivenRows(what))
        source = checked.source
        if source is None or not checked.rows:
            raise Refused(checked.problems)
        if isinstance(what, Path):
            source = BesideFile(source, what.parent, column_map)
        only_check = dry_run or bool(checked.problems)
        answer: pb.SubmitResponse = self._connection.send(
            self._batches.Submit,
            lambda: submission.messages(source, options, dry_run=only_check),
        )
        if checked.problems or answer.problems:
            raise Refused(submission.merged(checked.problems, answer.problems, source.columns))
        return Submitted(
            answer.batch if answer.HasField("batch") else None,
            answer.clips,
            answer.frames,
            submission.merged((), answer.warnings, source.columns),
            answer.repeated_request,
        )

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
        return watching.watch(
            self._connection,
            self._batches,
            batch_id,
            after=after,
            until_ended=until_ended,
            patience_seconds=patience_seconds,
            on_interrupted=on_interrupted,
        )

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
