"""`ListChunks`: what a clip's segments and negatives are, and where they are had."""

from __future__ import annotations

from collections.abc import Callable

from farm.domain.errors import NotFound
from farm.domain.ledger import ChunkRow
from farm.gateway.desk import Desk
from farm.gateway.grpc_errors import BadRequest
from farm.gateway.requests import page_after
from farm.gateway.views import artifact_view, clip_view, mark_views
from heliostat.v1 import batch_service_pb2 as batch_pb


async def list_chunks(
    desk: Desk, request: batch_pb.ListChunksRequest, size: int
) -> batch_pb.ListChunksResponse:
    """A page of a clip's chunks. Raises `BadRequest`, `NotFound`."""
    if not request.clip_id:
        raise BadRequest("the request names no clip: give its id")
    first = page_after(request.page_token)

    def read() -> batch_pb.ListChunksResponse:
        row = desk.ledger.clip_rows([request.clip_id]).get(request.clip_id)
        if row is None:
            raise NotFound(f"there is no clip {request.clip_id}: `farm clips BATCH --json` has ids")
        chunks = desk.ledger.chunks(request.clip_id)
        page = chunks[first : first + size]
        more = first + size < len(chunks)
        return batch_pb.ListChunksResponse(
            clip=clip_view(row),
            chunks=[_chunk_view(chunk, desk.objects.presign_get) for chunk in page],
            next_page_token=str(first + size) if more else "",
        )

    return await desk.threads.run(read)


def _chunk_view(row: ChunkRow, presign: Callable[[str], str]) -> batch_pb.StoredChunk:
    return batch_pb.StoredChunk(
        chunk=row.chunk,
        attempt=row.attempt,
        card_id=row.card_id,
        frames=row.frames,
        render_seconds=row.render_seconds,
        energy_joules=row.energy_joules,
        lanes=row.lanes,
        steered=mark_views(row.steered),
        profile=row.profile,
        files=[
            batch_pb.StoredFile(artifact=artifact_view(stored, row.chunk), url=presign(stored.key))
            for stored in row.objects
        ],
    )
