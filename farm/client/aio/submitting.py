"""Submitting a file or rows, as a batch of its own or into one that is there, for asyncio.

Made of its twin in farm/client by tools/async_sdk.py: change that one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from farm.client import submission
from farm.client.aio.input_calls import AsyncInputCalls
from farm.client.base import new_request_id
from farm.client.errors import Refused
from farm.client.inputs import InputOptions
from farm.client.submission import Planned
from farm.client.submitting import Submitted
from farm.domain.spec import Problem
from heliostat.v1 import batch_service_pb2 as pb


class AsyncSubmitting(AsyncInputCalls):
    """Sends rows, and the files that they start from."""

    async def submit(
        self,
        what: Path | Iterable[Mapping[str, str]],
        *,
        name: str = "",
        project: str = "",
        project_else: str = "",
        priority: int | None = None,
        column_map: Mapping[str, str] | None = None,
        set_fields: Mapping[str, str] | None = None,
        wedge: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
        fill: bool = False,
        dry_run: bool = False,
        request_id: str = "",
        planned: Planned = Planned(),
        inputs: InputOptions = InputOptions(),
    ) -> Submitted:
        """Submit a file, or rows of text by column: all of it is accepted or none.

        Raises `Refused` with every problem. The same `request_id` twice is one batch; one is
        made up for each call that gives none. `name` is by default the file's. Relative paths
        of images and videos start where the file lies; a program's rows have absolute ones.
        `planned` is its deadline, what it needs, waits for and counts against. What is given here
        goes before what the file says of the batch. `SubmitOptions` says more of each. Images and
        videos that are files of this machine are sent, once each, when all else is right.
        """
        given = submission.SubmitOptions(
            name=name,
            project=project,
            project_else=project_else,
            priority=priority,
            column_map=column_map or {},
            set_fields=set_fields or {},
            wedge=wedge,
            variables=variables or {},
            fill=fill,
            dry_run=dry_run,
            request_id=request_id or new_request_id(),
            planned=planned,
        )
        return await self._send(what, given, inputs)

    async def resubmit(
        self,
        batch_id: str,
        what: Path | Iterable[Mapping[str, str]],
        *,
        column_map: Mapping[str, str] | None = None,
        set_fields: Mapping[str, str] | None = None,
        wedge: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
        fill: bool = False,
        dry_run: bool = False,
        fresh: bool = False,
        request_id: str = "",
        inputs: InputOptions = InputOptions(),
    ) -> Submitted:
        """Submit a batch's file, or rows, again: what changed becomes the next version in it.

        Rows like the latest version of their clip are passed over, new ones are new clips, and
        clips that no row speaks of stay. What the file says of its batch does not count: the
        batch keeps what it has. Raises `Refused` as `submit` does.
        """
        given = submission.SubmitOptions(
            name=batch_id,
            column_map=column_map or {},
            set_fields=set_fields or {},
            wedge=wedge,
            variables=variables or {},
            fill=fill,
            dry_run=dry_run,
            request_id=request_id or new_request_id(),
            resubmit_of=batch_id,
            planned=Planned(fresh=fresh),
        )
        return await self._send(what, given, inputs)

    async def _send(
        self,
        what: Path | Iterable[Mapping[str, str]],
        given: submission.SubmitOptions,
        inputs: InputOptions,
    ) -> Submitted:
        """Read it through, send the files that lack, then the rows."""
        return await self._connection.in_thread(lambda farm: farm._send(what, given, inputs))

    async def _project_of(self, batch_id: str) -> str:
        request = pb.GetRequest(batch_id=batch_id)
        return (await self._connection.call(self._batches.Get, request)).batch.project

    async def _submit(
        self,
        source: submission.Source,
        options: submission.SubmitOptions,
        problems: Sequence[Problem],
        *,
        dry_run: bool,
    ) -> pb.SubmitResponse:
        """What the farm says to it. Raises `Refused` for its problems and those known before."""
        answer: pb.SubmitResponse = await self._connection.send(
            self._batches.Submit, lambda: submission.messages(source, options, dry_run=dry_run)
        )
        if problems or answer.problems:
            raise Refused(submission.merged(problems, answer.problems, source.columns))
        return answer
