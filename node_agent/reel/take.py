"""The film of a complete reel and its sidecar, made from the segments as the farm's are."""

from __future__ import annotations

import platform
from pathlib import Path

from node_agent.encode import Take, TakeError, assemble, encoder_id
from node_agent.files import write_atomic
from node_agent.quality.measure import measure
from node_agent.reel.reel import Record, Reel, ReelError
from node_agent.render.renderer import NOISE_SIGMAS, RenderSpec
from node_agent.sidecar import ChunkRecord, InputRecord, Sidecar, energy_of, sidecar_bytes

BATCH_ID = "by-hand"
"""Stands in sidecars where a clip of the farm names its batch."""


def make_take(reel: Reel, film: Path) -> Take:
    """Write `film` and its sidecar beside it. Raises `ReelError` for a damaged file, OSError."""
    reel.check_files()
    record = reel.record
    segments = [reel.path(chunk.segment) for chunk in record.chunks if chunk.segment is not None]
    if record.init is None:
        raise ReelError(f"{reel.folder}: the init segment is missing; start over with --fresh")
    try:
        take = assemble(
            reel.path(record.init), segments, film, frames=record.spec.frames, fps=record.fps
        )
        write_sidecar(record, take, film.with_suffix(".json"))
    except TakeError as error:
        raise ReelError(str(error)) from error
    return take


def write_sidecar(record: Record, take: Take, path: Path, *, encoder: str | None = None) -> None:
    """Everything known of a film, as the farm's sidecars say it; `encoder` made it, if no take's.

    The stack id is the one of the last chunk's render. The film is decoded from end to end for its
    signals; thresholds that would mark it are a farm's. Raises TakeError when it does not play.
    """
    spec = record.spec
    card = f"{platform.node() or 'here'}:{record.device}"
    stack_id = record.chunks[-1].stack_id
    if encoder is not None:
        stack_id = f"{stack_id.removesuffix(encoder_id()).rstrip(',')},{encoder}"
    chunks = tuple(
        ChunkRecord(
            chunk=number,
            frames=chunk.frames,
            render_seconds=chunk.seconds,
            card_id=card,
            attempt=1,
            energy_joules=chunk.joules,
            lanes=chunk.lanes,
            steered=chunk.steered,
            profile=chunk.profile or None,
        )
        for number, chunk in enumerate(record.chunks)
    )
    sidecar = Sidecar(
        project="",
        batch_id=BATCH_ID,
        batch_name="",
        clip_id=spec.clip_id,
        clip_name=spec.name,
        version=1,
        row=0,
        columns={},
        prompt=spec.prompt,
        negative_prompt=spec.negative_prompt,
        seed=spec.seed,
        frames=spec.frames,
        width=spec.width,
        height=spec.height,
        fps=record.fps,
        steps=spec.steps,
        guidance_scale=spec.guidance_scale,
        quality=spec.quality,
        mode=mode_of(spec),
        image=_input(record, "image"),
        video=_input(record, "video"),
        schedule=spec.schedule,
        loras=spec.loras,
        skip_first_chunk=spec.skip_first_chunk,
        amplify_first_chunk=spec.amplify_first_chunk,
        image_noise=spec.image_noise if spec.image_noise != NOISE_SIGMAS else None,
        video_noise=spec.video_noise if spec.video_noise != NOISE_SIGMAS else None,
        fork=record.fork,
        recipe=record.recipe or None,
        renderer=record.renderer,
        model_digest=record.model_digest,
        stack_id=stack_id,
        card_id=card,
        attempts=1,
        chunks=chunks,
        take_sha256=take.sha256,
        take_size_bytes=take.size,
        signals=measure(take.path, frames=take.frames),
        marks=(),
        energy_joules=energy_of(chunks),
    )
    write_atomic(path, sidecar_bytes(sidecar))


def _input(record: Record, name: str) -> InputRecord | None:
    path: str = getattr(record.spec, name)
    return InputRecord(name=Path(path).name, sha256=record.inputs.get(name)) if path else None


def mode_of(spec: RenderSpec) -> str:
    """How a clip is made, as batches name it."""
    if spec.schedule:
        return "interactive"
    if spec.image:
        return "image_to_video"
    return "video_to_video" if spec.video else "text_to_video"
