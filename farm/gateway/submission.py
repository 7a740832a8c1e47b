"""One submission on its way in: checked, digested and staged block by block, then published.

Nothing of it outlives a failure: whatever ends it before it is published discards what is staged.
The same request_id with the same payload gets the first answer, however often and however much
at once it comes.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace

from farm.domain.batch import Batch
from farm.domain.digest import digest_of
from farm.domain.errors import NotFound
from farm.domain.ledger import RequestRow
from farm.domain.project import DEFAULT_PROJECT
from farm.domain.quote import Quote
from farm.domain.rows import RowChecker
from farm.domain.spec import NewClip, Problem
from farm.failpoints import reach
from farm.gateway.coordinator_link import CoordinatorUnavailable
from farm.gateway.desk import Desk
from farm.gateway.grpc_errors import BadRequest, SubmissionInterrupted, TooSlow
from farm.gateway.header import HeaderCheck, check_shape, needs_warnings
from farm.gateway.quote_views import quote_view
from farm.gateway.quotes import budget_problems, quoted
from farm.gateway.resubmission import Resubmission, find_target
from farm.gateway.reuse import Reuse
from farm.gateway.views import problem_views
from farm.plan.quote import Tally
from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import types_pb2 as types_pb

PAIRS_AT_ONCE = 10_000
"""Dependencies that are staged in one go."""
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"


class Submission:
    """The rows of one call. `add` them, then `finish`; `abandon` in any case."""

    def __init__(self, desk: Desk, header: batch_pb.SubmitHeader) -> None:
        self._desk = desk
        self._header = header
        self._batch_id = new_batch_id()
        self._batch: Batch | None = None
        self._of_header: list[Problem] = []
        self._warnings: list[Problem] = []
        self._digest = hashlib.sha256(_payload(header))
        self._checker = self._checks(header.name, header.project or DEFAULT_PROJECT, header.output)
        self._joins: Resubmission | None = None
        self._reuse: Reuse | None = None
        self._large: list[Problem] = []
        self._of_rows: list[Problem] = []
        """Beside what the checker finds: what does not go with the batch that they join."""
        self._frames = 0
        self._tally = Tally()
        self._quote: Quote | None = None
        self._waiting: list[NewClip] = []
        self._staging: asyncio.Task[None] | None = None
        self._begun = False
        self._only_digest = False

    async def look_up(self) -> None:
        """See whether the request was answered before: then its payload only has to be the same.

        Otherwise its header is checked.
        """
        desk, ledger = self._desk, self._desk.ledger
        if not self._header.dry_run:
            request_id = self._header.request_id
            self._only_digest = await desk.threads.run(ledger.request, request_id) is not None
        if not self._only_digest:
            self._batch = await desk.threads.run(self._read_header)
            self._warnings = await needs_warnings(desk, self._batch.needs)
            if not self._header.fresh:
                self._reuse = Reuse(desk, self._batch.project, self._batch.needs)

    def _read_header(self) -> Batch:
        """In a thread: the batch that it means; of no use where there are problems."""
        ledger, header = self._desk.ledger, self._header
        if header.resubmit_of:
            self._joins, self._of_header = find_target(header, ledger)
            if self._joins is not None:
                # Derived seeds follow from the batch's own name, whatever the file is called now.
                target = self._joins.target
                self._checker = self._checks(target.name, target.project, target.output)
                self._checker.look = self._joins.look
                return self._joins.batch(self._batch_id, time.time())
        checked = HeaderCheck(header, ledger, self._desk.deliveries)
        batch = checked.batch(self._batch_id)
        self._of_header += checked.problems
        self._checker.look = checked.look
        return batch

    def _checks(self, batch_name: str, project: str, output: str) -> RowChecker:
        header = self._header
        return RowChecker(
            batch_name=batch_name,
            columns=list(header.columns) or None,
            column_map=dict(header.column_map),
            set_fields=dict(header.set_fields),
            project=project,
            output=output,
            limits=self._desk.row_limits,
            count_tokens=self._desk.count_tokens,
        )

    async def add(self, rows: Sequence[batch_pb.Row]) -> None:
        """Check a block, and stage what is complete. Memory holds two blocks at most."""
        size = self._desk.limits.block_rows
        for start in range(0, len(rows), size):
            clips = await self._desk.threads.run(self._check, rows[start : start + size])
            if self._reuse is not None and not self._is_refused:
                clips = await self._reuse.of(clips)
            self._tally.add(clips)
            if self._is_refused or self._header.dry_run:
                self._waiting.clear()
                continue
            self._waiting += clips
            if len(self._waiting) >= size:
                await self._stage_waiting()

    async def finish(self) -> batch_pb.SubmitResponse:
        """Publish it, or list what is wrong with it."""
        if not self._only_digest:
            self._checker.finish()
        target = self._joins.target.batch_id if self._joins else self._batch_id
        request = RequestRow(self._header.request_id, self._digest.hexdigest(), target, self.clips)
        if not self._only_digest and not self._is_refused:
            await self._make_quote()
        if not self._is_refused and self._header.dry_run:
            return self._answer(None)
        async with self._desk.alone(request.request_id):
            first = None if self._header.dry_run else await self._desk.answered(request)
            if first is not None:
                return await self._repeated(first)
            if self._is_refused:
                return self._answer(None)
            if self._joins is not None and not self._joins.clips:
                return self._answer(await self._desk.batch(target))  # every row is as it was
            await self._stage_waiting()
            await self._staged()
            for pairs in self._dependencies():
                await self._desk.link.stage_dependencies(self._batch_id, pairs)
            reach("gateway.submit.staged")
            answer = await self._desk.link.publish(self._batch_id, request, self._quote)
            reach("gateway.submit.published")
            self._begun = False
        if answer != request:
            return await self._repeated(answer)
        return self._answer(await self._desk.batch(answer.batch_id))

    async def _make_quote(self) -> None:
        """Quote it, and hold its budget against that. A check alone does without where it must."""
        assert self._batch is not None
        try:
            self._quote = await quoted(self._desk, self._tally.ask(self._batch))
        except CoordinatorUnavailable:
            if not self._header.dry_run:
                raise
            return
        refused, warned = budget_problems(self._batch.budget, self._quote)
        self._of_header += refused
        self._warnings += warned

    async def abandon(self) -> None:
        """Leave nothing behind; does nothing after it was published."""
        if self._begun:
            self._begun = False
            await self._desk.discard(self._batch_id, self._staging)

    @property
    def clips(self) -> int:
        """Clips that the rows so far become."""
        return self._checker.rows if self._joins is None else self._joins.clips

    @property
    def _is_refused(self) -> bool:
        found = (self._checker.problems, self._large, self._of_header, self._of_rows)
        return any(found)

    def _check(self, rows: Sequence[batch_pb.Row]) -> list[NewClip]:
        """In a thread: the event loop goes on meanwhile."""
        most = self._desk.limits.row_bytes_max
        for row in rows:
            data = row.SerializeToString(deterministic=True)
            self._digest.update(len(data).to_bytes(8) + data)
            if len(data) > most and len(self._large) < self._desk.limits.block_rows:
                what = f"the row has {len(data)} bytes"
                self._large.append(Problem(row.number, "", what, f"keep to {most}"))
        if self._only_digest:
            return []
        clips = self._checker.check([(row.number, row.fields) for row in rows])
        clips = [replace(clip, digest=digest_of(clip.spec)) for clip in clips]
        if self._joins is not None:
            clips = self._joins.versions_of(clips, self._of_rows)
        self._frames += sum(clip.spec.frames for clip in clips)
        return clips

    def _dependencies(self) -> Iterator[list[tuple[int, int]]]:
        pairs = self._checker.dependencies(PAIRS_AT_ONCE)
        return pairs if self._joins is None else self._joins.dependencies(pairs)

    async def _stage_waiting(self) -> None:
        """Stage what waits, while the next block is already being checked."""
        await self._staged()
        clips, self._waiting = self._waiting, []
        if not self._begun:
            self._begun = True
            if self._batch is None:
                raise AssertionError("a request that was answered before stages nothing")
            await self._desk.link.begin(self._batch)
        if clips:
            self._staging = asyncio.create_task(self._desk.link.stage(self._batch_id, clips))

    async def _staged(self) -> None:
        if self._staging is not None:
            await self._staging
            self._staging = None

    async def _repeated(self, first: RequestRow) -> batch_pb.SubmitResponse:
        batch = await self._desk.batch(first.batch_id)
        return batch_pb.SubmitResponse(
            batch=batch,
            clips=first.result,
            frames=batch.frames,
            repeated_request=True,
            quote=batch.promise if batch.HasField("promise") else None,
        )

    def _answer(self, batch: types_pb.Batch | None) -> batch_pb.SubmitResponse:
        room = self._desk.limits.problems_bytes_max
        found = [*self._of_header, *self._checker.problems, *self._large, *self._of_rows]
        joins = self._joins
        problems = problem_views(found, room)
        return batch_pb.SubmitResponse(
            batch=batch,
            problems=problems,
            warnings=problem_views([*self._warnings, *self._checker.warnings], room),
            clips=0 if problems else self.clips,
            quote=None if problems else quote_view(self._quote),
            frames=0 if problems else self._frames,
            reused=self._reuse.clips if self._reuse and not problems else 0,
            unchanged=joins.unchanged if joins and not problems else 0,
            changed=joins.changed if joins and not problems else 0,
            missing=joins.missing if joins and not problems else 0,
        )


async def submit(
    desk: Desk, parts: AsyncIterator[batch_pb.SubmitRequest]
) -> batch_pb.SubmitResponse:
    """Take a submission in. Raises `BadRequest`, `TooSlow`, `RequestConflict` and the link's."""
    async with desk.places:
        submission = Submission(desk, await _header(desk, parts))
        try:
            await submission.look_up()
            while (part := await _next(desk, parts)) is not None:
                if part.WhichOneof("part") != "rows":
                    raise BadRequest("only the first message of a submission is its header")
                await submission.add(part.rows.rows)
            return await submission.finish()
        except NotFound as error:
            raise SubmissionInterrupted(str(error)) from error
        finally:
            await submission.abandon()


def new_batch_id() -> str:
    """An id that nobody can guess from another one."""
    return "b" + "".join(secrets.choice(_BASE32) for _ in range(7))


async def _header(
    desk: Desk, parts: AsyncIterator[batch_pb.SubmitRequest]
) -> batch_pb.SubmitHeader:
    first = await _next(desk, parts)
    if first is None or first.WhichOneof("part") != "header":
        raise BadRequest("a submission begins with its header")
    header = first.header
    check_shape(header)
    return header


async def _next(
    desk: Desk, parts: AsyncIterator[batch_pb.SubmitRequest]
) -> batch_pb.SubmitRequest | None:
    seconds = desk.limits.submit_seconds_idle_max
    try:
        async with asyncio.timeout(seconds):
            return await anext(parts, None)
    except TimeoutError:
        raise TooSlow(f"nothing came for {seconds:.0f} s: submit again, without pauses") from None


def _payload(header: batch_pb.SubmitHeader) -> bytes:
    """What of a header makes two submissions the same."""
    same = batch_pb.SubmitHeader()
    same.CopyFrom(header)
    same.ClearField("request_id")
    same.ClearField("dry_run")
    data = same.SerializeToString(deterministic=True)
    return len(data).to_bytes(8) + data
