"""What becomes of a reel: pure functions from a record to the next one, and to a `Start`.

Frames of a chunk come back from its negative wherever its segment does not hold as many as the
clip now needs, so extending a trimmed clip is no case of its own.
"""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

from node_agent.reel.reel import Record, ReelChunk, ReelError
from node_agent.render.messages import Start
from node_agent.render.renderer import (
    BLEND_CHUNKS,
    CHUNK_FRAMES,
    Fork,
    PromptMark,
    RenderSpec,
    needed_negatives,
)


def frames_needed(spec: RenderSpec, chunk: int) -> int:
    """Frames of a chunk that are in the film: all, but for the last one's."""
    return min(CHUNK_FRAMES, spec.frames - chunk * CHUNK_FRAMES)


def remaining(record: Record, folder: Path) -> Start | None:
    """What is left to do for a reel in `folder`; None for one that is complete."""
    spec, rendered = record.spec, len(record.chunks)
    again = tuple(
        number
        for number, chunk in enumerate(record.chunks)
        if chunk.frames != frames_needed(spec, number)
    )
    if rendered == spec.chunks and not again:
        return None
    needed = needed_negatives(rendered, skip_first_chunk=spec.skip_first_chunk)
    return replace(_start(record, folder, {*needed, *again}), redecode=again)


def all_again(record: Record, folder: Path, pieces: Path) -> Start:
    """Every frame of a complete reel again, lossless, into `pieces`. Raises `ReelError`."""
    if remaining(record, folder) is not None:
        raise ReelError(
            f"{folder}: {len(record.chunks)} of {record.spec.chunks} chunks are rendered;"
            " let the clip be finished first (the command that began it goes on)"
        )
    every = tuple(range(record.spec.chunks))
    start = _start(record, folder, set(every))
    return replace(start, directory=str(pieces), redecode=every, lossless=True)


def extended(
    record: Record,
    clip_id: str,
    frames: int,
    *,
    prompt: str | None = None,
    blend_chunks: int = BLEND_CHUNKS,
) -> Record:
    """The same clip, `frames` long in all, following `prompt` after what there is of it.

    Raises `ReelError` when it would not be longer, or the prompt would show nowhere.
    """
    spec, rendered = record.spec, len(record.chunks)
    if frames <= spec.frames:
        raise ReelError(
            f"{frames} frames: the clip has {spec.frames}; --frames is the length of the longer"
            " film in all"
        )
    longer = replace(spec, clip_id=clip_id, frames=frames)
    if prompt is not None:
        if rendered >= longer.chunks:
            raise ReelError(
                f"{frames} frames end in a chunk that is rendered already: the new prompt would"
                f" show nowhere; ask for more than {rendered * CHUNK_FRAMES} frames"
            )
        longer = _following(longer, rendered, prompt, blend_chunks)
    chunks = tuple(
        chunk if chunk.frames == frames_needed(longer, number) else _without_segment(chunk)
        for number, chunk in enumerate(record.chunks)
    )
    return replace(record, spec=longer, chunks=chunks)


def branched(
    record: Record,
    clip_id: str,
    chunk: int,
    *,
    prompt: str | None = None,
    seed: int | None = None,
    blend_chunks: int = BLEND_CHUNKS,
) -> Record:
    """The clip up to `chunk`, from there on with another prompt, other random numbers, or both.

    Raises `ReelError` for a chunk that is not there to leave from.
    """
    spec, rendered = record.spec, len(record.chunks)
    last = min(rendered, spec.chunks - 1)
    if not 1 <= chunk <= last:
        choice = f"choose chunk 1 to {last}" if last else "a clip of one chunk has none"
        raise ReelError(f"--from-chunk {chunk}: no chunk to branch from; {choice}")
    other = replace(spec, clip_id=clip_id)
    if prompt is not None:
        other = _following(other, chunk, prompt, blend_chunks)
    inherited = record.fork if record.fork is not None and record.fork.chunk <= chunk else None
    fork = inherited if seed is None else Fork(chunk=chunk, seed=seed)
    return replace(record, spec=other, chunks=record.chunks[:chunk], fork=fork)


def differences(there: Record, wanted: Record) -> list[str]:
    """What was asked for otherwise: each as `seed 7 (the reel has 3)`; empty for the same clip."""
    shared = len(wanted.chunks)
    pairs = {
        name: (getattr(there.spec, name), getattr(wanted.spec, name))
        for name in (field.name for field in fields(RenderSpec))
        if name not in ("clip_id", "name")
    }
    for name in ("fps", "renderer", "model_digest", "inputs", "fork"):
        pairs[name] = (getattr(there, name), getattr(wanted, name))
    for name in sorted(there.recipe.keys() | wanted.recipe.keys()):
        old, new = there.recipe.get(name), wanted.recipe.get(name)
        if name == "vae" and not there.spec.vae:  # its card's choice
            continue
        if name not in pairs or pairs[name][0] == pairs[name][1]:
            pairs[f"recipe's {name}"] = (old, new)
    pairs["chunks taken over"] = (_negatives(there, shared), _negatives(wanted, shared))
    return [
        f"{name.replace('_', ' ')} {_shown(new)} (the reel has {_shown(old)})"
        for name, (old, new) in pairs.items()
        if old != new
    ]


def _start(record: Record, folder: Path, chunks: set[int]) -> Start:
    """Where the clip stands, with the negatives of `chunks`."""
    paths = {
        number: str(folder / negative.name)
        for number in sorted(chunks)
        if (negative := record.chunks[number].negative) is not None
    }
    embeddings = record.embeddings
    return Start(
        spec=replace(record.spec, fork=record.fork),
        attempt=1,
        fps=record.fps,
        directory=str(folder),
        resume_chunk=len(record.chunks),
        negatives=paths,
        embeddings=str(folder / embeddings.name) if embeddings else None,
    )


def _following(spec: RenderSpec, chunk: int, prompt: str, blend_chunks: int) -> RenderSpec:
    """Another prompt from a chunk on, instead of whatever was to come there or later."""
    before = tuple(mark for mark in spec.schedule if mark.chunk < chunk)
    mark = PromptMark(chunk=chunk, prompt=prompt, blend_chunks=blend_chunks)
    return replace(spec, schedule=(*before, mark))


def _without_segment(chunk: ReelChunk) -> ReelChunk:
    return replace(chunk, frames=0, segment=None)


def _negatives(record: Record, count: int) -> list[str]:
    found = [chunk.negative for chunk in record.chunks[:count]]
    return [negative.sha256[:12] for negative in found if negative is not None]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
