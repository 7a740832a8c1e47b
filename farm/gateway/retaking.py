"""New versions of clips, on their way to the coordinator."""

from __future__ import annotations

from google.protobuf.message import Message

from farm.coordinator.retakes import retaken
from farm.domain.errors import BadDecision
from farm.gateway.decisions import BatchDecisions, decide
from farm.gateway.grpc_errors import Context, unary
from farm.gateway.requests import batch_named
from farm.gateway.views import clip_view
from heliostat.v1 import batch_service_pb2 as batch_pb


class Retaking(BatchDecisions):
    """The call for retakes, extensions and branches."""

    @unary
    async def Retake(  # noqa: N802 - the contract's name
        self, request: batch_pb.RetakeRequest, _context: Context
    ) -> batch_pb.RetakeResponse:
        """Make the next versions of clips."""
        desk, ledger = self._desk, self._desk.ledger
        batch = await desk.batch(batch_named(request.batch_id))
        names = dict.fromkeys(request.clips)

        def check() -> Message:
            to_send = batch_pb.RetakeRequest()
            to_send.CopyFrom(request)
            to_send.batch_id = batch.batch_id
            if request.HasField("prompt"):
                to_send.prompt = self._prompt(request.prompt, batch.look)
            self._check_frames(request)
            ids = self._ids(batch.batch_id, names)
            to_send.clips[:] = dict.fromkeys(ids[name] for name in names)
            rows = ledger.clip_rows(to_send.clips)
            versions = ledger.versions(batch.batch_id, {row.name for row in rows.values()})
            found = ledger.find_batch(batch.batch_id)
            retaken(found, to_send, rows, ledger.chunks, versions, 0)
            return to_send

        answer = await decide(desk, request, request.request_id, batch.batch_id, check)

        def read() -> batch_pb.RetakeResponse:
            rows = ledger.clips(batch.batch_id, limit=len(names), after=answer.result - 1)
            return batch_pb.RetakeResponse(clips=[clip_view(row) for row in rows])

        response = await desk.threads.run(read)
        response.batch.CopyFrom(await desk.batch(batch.batch_id))
        return response

    def _check_frames(self, request: batch_pb.RetakeRequest) -> None:
        most = self._desk.row_limits.frames_max
        if request.HasField("frames") and not 1 <= request.frames <= most:
            raise BadDecision(f"{request.frames} frames: choose 1 to {most}")
