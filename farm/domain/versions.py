"""New versions of a clip: what is asked anew, and what of the old one is taken over.

Only whole chunks are taken over: the last one, trimmed to the clip's length, is rendered again
when there is more to come after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from farm.domain.batch import Batch
from farm.domain.clip import CHUNK_FRAMES, ClipState, chunks_of
from farm.domain.digest import digest_of
from farm.domain.errors import BadDecision, ChunksReleased
from farm.domain.ledger import ChunkRow, ClipRow
from farm.domain.output_names import facts_of, file_name_for
from farm.domain.row_parts import derived_seed
from farm.domain.schedule import effective_schedule
from farm.domain.spec import BLEND_CHUNKS, ClipSpec, Fork, NewClip, Origin, PromptMark
from farm.domain.values import SEED_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """What a new version has that its base has not; None, of each, is as it was."""

    seed: int | None = None
    new_seed: bool = False
    """Another one for each clip, that follows from its name and version."""
    prompt: str | None = None
    frames: int | None = None
    """More than the base has: it is extended."""
    from_chunk: int | None = None
    """The chunks before it are taken over."""
    blend_chunks: int = BLEND_CHUNKS


def named(clip: NewClip, batch: Batch) -> NewClip:
    """A new version in a batch, with what its files are called."""
    facts = facts_of(batch.project, batch.name, clip.name, clip.row, clip.spec, clip.columns)
    return replace(clip, file_name=file_name_for(batch.output, facts, clip.version))


def check_again(again: Again) -> None:
    """Raise `BadDecision` for what contradicts itself."""
    if again.new_seed and again.seed is not None:
        raise BadDecision("a seed and a new one at once: choose one of them")
    if again.seed is not None and again.seed > SEED_MAX:
        raise BadDecision(f"the seed {again.seed} is too large: choose 0 to {SEED_MAX}")
    if again.prompt is not None and not again.prompt.strip():
        raise BadDecision("the prompt is empty: write one, or leave it out to keep what there is")
    if again.blend_chunks < 1:
        raise BadDecision("a prompt takes over within 1 chunk or more: choose a larger number")
    changes = again.prompt is not None or again.seed is not None or again.new_seed
    if again.from_chunk is not None and again.frames is None and not changes:
        raise BadDecision(
            f"nothing differs from chunk {again.from_chunk} on: give a prompt, a seed or a new seed"
        )


def new_version(
    base: ClipRow,
    chunks: Sequence[ChunkRow],
    again: Again,
    *,
    version: int,
    ordinal: int,
    batch: Batch,
) -> NewClip:
    """The next version of a clip. `chunks` are those that its base has recorded.

    Raises `BadDecision`, and `ChunksReleased` where what is to be taken over is there no more.
    """
    check_again(again)
    if base.clip.state is ClipState.WAITING:
        raise BadDecision(
            f"clip {base.name} still waits for others: change its row and `farm resubmit` the file"
        )
    kept, kind = _kept(base, chunks, again)
    followed = chunks[:kept] if kept else chunks
    base_spec = effective_schedule(base.spec, followed[-1].steered if followed else ())
    spec = _spec(replace(base, spec=base_spec), again, kept, batch.name, version)
    new = NewClip(
        ordinal=ordinal,
        row=base.row,
        name=base.name,
        spec=spec,
        columns=base.columns,
        version=version,
        digest="" if kept else digest_of(spec),
        origin=Origin(kind, base.clip.clip_id, kept),
    )
    return named(new, batch)


def _kept(base: ClipRow, chunks: Sequence[ChunkRow], again: Again) -> tuple[int, str]:
    """Chunks that are taken over, and what that is called."""
    whole = next((c.chunk for c in chunks if c.frames < CHUNK_FRAMES), len(chunks))
    frames = base.spec.frames if again.frames is None else again.frames
    if again.from_chunk is not None:
        kept, kind = again.from_chunk, "branch"
        if kept >= chunks_of(frames):
            raise BadDecision(
                f"clip {base.name} would have no chunk {kept}: with {frames} frames it has "
                f"{chunks_of(frames)}, from 0 to {chunks_of(frames) - 1}"
            )
        if kept > whole:
            raise BadDecision(
                f"clip {base.name} has {whole} whole chunks, chunk {kept} cannot follow: "
                f"branch from chunk {whole} or before"
            )
    elif again.frames is not None:
        kept, kind = whole, "extend"
        if frames <= base.spec.frames:
            raise BadDecision(
                f"clip {base.name} has {base.spec.frames} frames and is to have {frames}: give "
                "more, all in all"
            )
        if base.clip.state is not ClipState.DONE:
            raise BadDecision(
                f"clip {base.name} is {base.clip.state}: only what is done can be extended"
            )
    else:
        return 0, "retake"
    for chunk in chunks[:kept]:
        if "segment" not in {stored.kind for stored in chunk.objects}:
            raise ChunksReleased(
                f"clip {base.name} ended so long ago that its chunk {chunk.chunk} was let go: "
                "retake it from its beginning"
            )
    return kept, kind


def _spec(base: ClipRow, again: Again, kept: int, batch_name: str, version: int) -> ClipSpec:
    spec, seed = base.spec, again.seed
    if again.new_seed:
        seed = derived_seed(batch_name, f"{base.name}/v{version:03}")
    if again.frames is not None:
        spec = replace(spec, frames=again.frames)
    if seed is not None:
        spec = replace(spec, fork=Fork(kept, seed)) if kept else replace(spec, seed=seed, fork=None)
    if again.prompt is not None and kept:
        before = tuple(mark for mark in spec.schedule if mark.chunk < kept)
        mark = PromptMark(kept, again.prompt, again.blend_chunks)
        spec = replace(spec, schedule=(*before, mark))
    elif again.prompt is not None:
        spec = replace(spec, prompt=again.prompt)
    last = chunks_of(spec.frames)
    return replace(spec, schedule=tuple(mark for mark in spec.schedule if mark.chunk < last))
