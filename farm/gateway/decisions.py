"""What people decide of batches and of clips at their first look, on its way to the coordinator."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from google.protobuf.message import Message

from farm.coordinator import asked
from farm.domain.errors import BadDecision, NotFound
from farm.domain.ledger import RequestRow
from farm.domain.row_parts import too_many_tokens
from farm.domain.saved_look import look_for
from farm.domain.tokens import TokenLimit
from farm.domain.values import BadValue, prose
from farm.gateway.deliveries import check_delivery
from farm.gateway.desk import Desk
from farm.gateway.grpc_errors import BadRequest, Context, unary
from farm.gateway.header import needs_warnings
from farm.gateway.requests import batch_named, request_row
from farm.gateway.views import problem_views
from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1.batch_service_pb2_grpc import BatchServiceServicer

CLIPS_MAX = 100_000
"""Clips that one request may name."""


async def decide(
    desk: Desk, request: Message, request_id: str, batch_id: str, check: Callable[[], Message]
) -> RequestRow:
    """Have the coordinator decide, unless it has done so before.

    `check` runs in a thread; it raises what is wrong, or returns the message for the coordinator.
    """
    row = request_row(request, request_id, batch_id)
    first = await desk.answered(row)
    if first is not None:
        return first
    message = await desk.threads.run(check)
    return await desk.link.decide(type(message).__name__, message.SerializeToString(), row)


class BatchDecisions(BatchServiceServicer):
    """The calls by which people decide; `BatchService` adds the others."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @unary
    async def Pause(  # noqa: N802 - the contract's name
        self, request: batch_pb.PauseRequest, _context: Context
    ) -> batch_pb.PauseResponse:
        """Its cards give a batch's clips up at the next chunk boundary."""
        batch = await self._desk.batch(batch_named(request.batch_id))
        to_send = batch_pb.PauseRequest(batch_id=batch.batch_id, reason=request.reason)
        await decide(self._desk, request, request.request_id, batch.batch_id, lambda: to_send)
        return batch_pb.PauseResponse(batch=await self._desk.batch(batch.batch_id))

    @unary
    async def Resume(  # noqa: N802
        self, request: batch_pb.ResumeRequest, _context: Context
    ) -> batch_pb.ResumeResponse:
        """A paused batch's clips go out again."""
        batch = await self._desk.batch(batch_named(request.batch_id))
        to_send = batch_pb.ResumeRequest(batch_id=batch.batch_id)
        await decide(self._desk, request, request.request_id, batch.batch_id, lambda: to_send)
        return batch_pb.ResumeResponse(batch=await self._desk.batch(batch.batch_id))

    @unary
    async def Amend(  # noqa: N802
        self, request: batch_pb.AmendRequest, _context: Context
    ) -> batch_pb.AmendResponse:
        """Change what a batch is planned by."""
        ledger = self._desk.ledger
        batch = await self._desk.batch(batch_named(request.batch_id))
        to_send = batch_pb.AmendRequest()
        to_send.CopyFrom(request)
        to_send.batch_id = batch.batch_id

        def check() -> Message:
            if deliver_to := request.deliver_to.strip():
                check_delivery(deliver_to, self._desk.deliveries, ledger, batch.batch_id)
            limits = {limit.name for limit in ledger.limits()}
            asked.amended(ledger.find_batch(batch.batch_id), to_send, time.time(), limits)
            return to_send

        await decide(self._desk, request, request.request_id, batch.batch_id, check)
        warnings = await needs_warnings(self._desk, asked.needs_of(request.needs))
        return batch_pb.AmendResponse(
            batch=await self._desk.batch(batch.batch_id),
            warnings=problem_views(warnings, self._desk.limits.problems_bytes_max),
        )

    @unary
    async def Look(  # noqa: N802
        self, request: batch_pb.LookRequest, _context: Context
    ) -> batch_pb.LookResponse:
        """Let held clips go on, or call them off."""
        batch = await self._desk.batch(batch_named(request.batch_id))

        def check() -> Message:
            to_send = batch_pb.LookRequest()
            to_send.CopyFrom(request)
            to_send.batch_id = batch.batch_id
            ids = self._ids(batch.batch_id, request.clips)
            to_send.clips[:] = dict.fromkeys(ids[name] for name in request.clips)
            return to_send

        answer = await decide(self._desk, request, request.request_id, batch.batch_id, check)
        return batch_pb.LookResponse(
            clips=answer.result, batch=await self._desk.batch(batch.batch_id)
        )

    @unary
    async def Score(  # noqa: N802
        self, request: batch_pb.ScoreRequest, _context: Context
    ) -> batch_pb.ScoreResponse:
        """Note scores of clips, and what was seen."""
        batch = await self._desk.batch(batch_named(request.batch_id))
        if not (request.scores or request.notes):
            raise BadRequest("the request has no scores and no notes: give some")

        def check() -> Message:
            ids = self._ids(batch.batch_id, {*request.scores, *request.notes})
            return batch_pb.ScoreRequest(
                batch_id=batch.batch_id,
                scores={ids[name]: score for name, score in request.scores.items()},
                notes={ids[name]: note for name, note in request.notes.items()},
            )

        answer = await decide(self._desk, request, request.request_id, batch.batch_id, check)
        return batch_pb.ScoreResponse(clips=answer.result)

    @unary
    async def Steer(  # noqa: N802
        self, request: batch_pb.SteerRequest, _context: Context
    ) -> batch_pb.SteerResponse:
        """Have clips that render follow another prompt."""
        batch = await self._desk.batch(batch_named(request.batch_id))

        def check() -> Message:
            to_send = batch_pb.SteerRequest()
            to_send.CopyFrom(request)
            to_send.batch_id = batch.batch_id
            to_send.prompt = self._prompt(asked.mark_of(request).prompt, batch.look)
            ids = self._ids(batch.batch_id, request.clips)
            to_send.clips[:] = dict.fromkeys(ids[name] for name in request.clips)
            return to_send

        answer = await decide(self._desk, request, request.request_id, batch.batch_id, check)
        return batch_pb.SteerResponse(clips=answer.result)

    @unary
    async def Review(  # noqa: N802
        self, request: batch_pb.ReviewRequest, _context: Context
    ) -> batch_pb.ReviewResponse:
        """Approve or reject takes."""
        batch = await self._desk.batch(batch_named(request.batch_id))
        ledger = self._desk.ledger

        def check() -> Message:
            asked.verdict_of(request)
            to_send = batch_pb.ReviewRequest()
            to_send.CopyFrom(request)
            to_send.batch_id = batch.batch_id
            ids = self._ids(batch.batch_id, request.clips)
            to_send.clips[:] = dict.fromkeys(ids[name] for name in request.clips)
            rows = ledger.clip_rows(list(to_send.clips))
            if without := [row.name for row in rows.values() if row.take is None]:
                raise BadDecision(asked.not_reviewable(without))
            return to_send

        answer = await decide(self._desk, request, request.request_id, batch.batch_id, check)
        return batch_pb.ReviewResponse(
            clips=answer.result, batch=await self._desk.batch(batch.batch_id)
        )

    def _prompt(self, text: str, look: str) -> str:
        """A prompt as a row of a batch with this look may have it. Raises `BadDecision`."""
        desk = self._desk
        kept_to = look_for(look, "", "", {each.name: each for each in desk.ledger.saved_looks()})
        most = desk.row_limits.prompt_tokens_max
        try:
            prompt = prose(text, desk.row_limits)
            if kept_to is not None:
                prompt = kept_to.prompt(prompt)
            if over := TokenLimit(desk.count_tokens, most).over([prompt]):
                raise too_many_tokens(over[0], most)
        except BadValue as bad:
            raise BadDecision(f"{bad.what}: {bad.remedy}") from None
        return prompt

    def _ids(self, batch_id: str, names: Collection[str]) -> dict[str, str]:
        """Name or id → id. Raises `NotFound`, naming the clips that the batch does not have."""
        if len(names) > CLIPS_MAX:
            raise BadRequest(f"{len(names)} clips in one request: name {CLIPS_MAX} at most")
        ids = self._desk.ledger.clip_ids(batch_id, names)
        unknown = [name for name in names if name not in ids]
        if unknown:
            raise NotFound(
                f"batch {batch_id} has no clip {', '.join(unknown[:10])}: see `farm clips`"
            )
        return ids
