"""`ListWork`: what was done for the clips of a batch, as reports tell it."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from farm.domain.work import ClipWork
from farm.gateway.desk import Desk
from farm.gateway.requests import batch_named, page_after
from farm.gateway.times import timestamp
from heliostat.v1 import batch_service_pb2 as batch_pb


async def list_work(
    desk: Desk, request: batch_pb.ListWorkRequest, size: int
) -> batch_pb.ListWorkResponse:
    """A page of it, in the order of the file. Raises `NotFound`."""
    after, batch_id, ledger = (
        page_after(request.page_token),
        batch_named(request.batch_id),
        desk.ledger,
    )

    def read() -> batch_pb.ListWorkResponse:
        batch = ledger.find_batch(batch_id)
        found = ledger.work(batch.batch_id, limit=size, after=after)
        return batch_pb.ListWorkResponse(
            works=map(_view, found),
            next_page_token=str(after + size) if len(found) == size else "",
        )

    return await desk.threads.run(read)


def _view(work: ClipWork) -> batch_pb.ClipWork:
    return batch_pb.ClipWork(
        clip_id=work.clip_id,
        created_at=timestamp(work.created_at),
        ended_at=_stamp(work.ended_at),
        model_digest=work.model_digest,
        stack_id=work.stack_id,
        chunks=work.chunks,
        render_seconds=work.render_seconds,
        encode_seconds=work.encode_seconds,
        joules=work.joules,
        chunks_measured=work.chunks_measured,
        first_chunk_at=_stamp(work.first_chunk_at),
        last_chunk_at=_stamp(work.last_chunk_at),
        card_ids=work.cards,
        leases=work.leases,
        lost=work.lost,
        failed=work.failed,
        yielded=work.yielded,
        first_leased_at=_stamp(work.first_leased_at),
    )


def _stamp(at: float | None) -> Timestamp | None:
    return None if at is None else timestamp(at)
