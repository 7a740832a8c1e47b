"""New versions of clips, as people ask for them: again, longer, or from a chunk on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from farm.coordinator.books import Books
from farm.domain.batch import Batch, BatchState, cancelled
from farm.domain.clip import Clip
from farm.domain.errors import BadDecision, NotFound
from farm.domain.ledger import AddedClip, ChunkRow, ClipRow
from farm.domain.spec import BLEND_CHUNKS, NewClip
from farm.domain.versions import Again, new_version
from heliostat.v1 import batch_service_pb2 as batch_pb

RETAKES_MAX = 1_000
"""Clips of one request: their texts are read and written in one go."""


def again_of(request: batch_pb.RetakeRequest) -> Again:
    """What is asked anew."""
    has = request.HasField
    return Again(
        seed=request.seed if has("seed") else None,
        new_seed=request.new_seed,
        prompt=request.prompt if has("prompt") else None,
        frames=request.frames if has("frames") else None,
        from_chunk=request.from_chunk if has("from_chunk") else None,
        blend_chunks=request.blend_chunks if has("blend_chunks") else BLEND_CHUNKS,
    )


def retaken(
    batch: Batch,
    request: batch_pb.RetakeRequest,
    rows: Mapping[str, ClipRow],
    chunks: Callable[[str], Sequence[ChunkRow]],
    versions: Mapping[str, int],
    last_ordinal: int,
) -> list[NewClip]:
    """The new versions in the order of the request, whose clips are ids.

    `versions` has the latest of each name. Raises `BadDecision`, `ChunksReleased`, `NotFound`.
    """
    if batch.state is BatchState.CANCELLED:
        raise BadDecision(cancelled(batch))
    if not request.clips:
        raise BadDecision(f"the request names no clip: `farm clips {batch.batch_id}` lists them")
    if len(request.clips) > RETAKES_MAX:
        raise BadDecision(f"{len(request.clips)} clips in one request: name {RETAKES_MAX} at most")
    again, latest = again_of(request), dict(versions)
    made: list[NewClip] = []
    for clip_id in request.clips:
        row = rows.get(clip_id)
        if row is None or row.clip.batch_id != batch.batch_id:
            raise NotFound(f"batch {batch.batch_id} has no clip {clip_id}: see `farm clips`")
        latest[row.name] += 1
        made.append(
            new_version(
                row,
                chunks(clip_id),
                again,
                version=latest[row.name],
                ordinal=last_ordinal + len(made) + 1,
                batch=batch,
            )
        )
    return made


class Retakes:
    """The decision, over the coordinator's books."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def prepare(self, request: batch_pb.RetakeRequest) -> Callable[[], int]:
        """Checked; carried out, it returns the place of the first new version in its batch."""
        books, store = self._books, self._books.store
        batch = books.clips.batch(request.batch_id) or store.batch(request.batch_id)
        rows = store.clip_rows(request.clips)
        versions = store.versions(batch.batch_id, {row.name for row in rows.values()})
        last = store.last_ordinal(batch.batch_id)
        made = retaken(batch, request, rows, store.chunks, versions, last)
        note = f": {request.note}" if request.note else ""

        def apply() -> int:
            added = []
            for clip_id, new in zip(request.clips, made, strict=True):
                base = rows[clip_id]
                what = new.origin.kind if new.origin else ""
                detail = f"{what} of v{base.version:03}{note}"
                added.append(AddedClip(clip=_clip(base, new), row=new, detail=detail))
            _add(books, batch, added)
            return last + 1

        return apply


def _add(books: Books, batch: Batch, added: Sequence[AddedClip]) -> None:
    """Within a transaction: add new versions of clips to their batch."""
    board = books.clips
    if board.entry(batch.batch_id) is None:
        books.put_batch(batch)
    if (entry := board.entry(batch.batch_id)) is not None:
        board.put_batch(batch, clips=entry.clips + len(added), failed=entry.failed)
    for each in added:
        board.put(each.clip)
        books.pending.added.append(each)


def _clip(row: ClipRow, new: NewClip) -> Clip:
    """As the plan sees it: what cards need for it is what its base needed. It goes on from chunks
    of another clip with their model, in whatever versions there are."""
    base, takes_over = row.clip, new.origin is not None and new.origin.chunks > 0
    model = row.take.model_digest if row.take is not None else base.begun_model
    return Clip(
        clip_id=f"{base.batch_id}-{new.ordinal:05d}",
        batch_id=base.batch_id,
        ordinal=new.ordinal,
        frames=new.spec.frames,
        work=base.work,
        chunks_done=new.origin.chunks if new.origin else 0,
        loras=base.loras,
        quality=base.quality,
        fps=base.fps,
        taken_over=new.origin.chunks if new.origin else 0,
        begun_model=model if takes_over else "",
    )
