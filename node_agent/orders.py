"""An order of the farm as the render child takes it."""

from __future__ import annotations

from collections.abc import Iterable

from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb
from node_agent.inputs import Inputs
from node_agent.render.messages import Change
from node_agent.render.renderer import NOISE_SIGMAS, Fork, LoraUse, PromptMark, RenderSpec


def render_spec(clip_id: str, order: node_pb.ClipOrder, inputs: Inputs) -> RenderSpec:
    """All that decides the clip's pixels; `inputs` are the files that it starts from."""
    spec = order.spec
    return RenderSpec(
        clip_id=clip_id,
        name=order.name,
        prompt=spec.prompt,
        negative_prompt=spec.negative_prompt,
        frames=spec.frames,
        height=spec.height,
        width=spec.width,
        seed=spec.seed,
        steps=tuple(spec.steps),
        guidance_scale=spec.guidance_scale if spec.HasField("guidance_scale") else None,
        amplify_first_chunk=amplify_of(spec),
        quality=spec.quality,
        schedule=read_marks(spec.schedule),
        image=inputs.path("image"),
        video=inputs.path("video"),
        image_noise=sigmas_of(spec, "image_noise") or NOISE_SIGMAS,
        video_noise=sigmas_of(spec, "video_noise") or NOISE_SIGMAS,
        skip_first_chunk=spec.skip_first_chunk,
        loras=tuple(LoraUse(name=lora.name, scale=lora.scale) for lora in spec.loras),
        profile=order.profile,
        fork=fork_of(spec),
    )


def fork_of(spec: types_pb.ClipSpec) -> Fork | None:
    """From where on the clip goes by another seed; None goes by its own."""
    return Fork(chunk=spec.fork.chunk, seed=spec.fork.seed) if spec.HasField("fork") else None


def amplify_of(spec: types_pb.ClipSpec) -> bool | None:
    """Whether chunk 0 takes twice the steps; None is the model's default."""
    return spec.amplify_first_chunk if spec.HasField("amplify_first_chunk") else None


def sigmas_of(spec: types_pb.ClipSpec, name: str) -> tuple[float, float] | None:
    """Lowest and highest sigma of `image_noise` or `video_noise`; None is the model's default."""
    found: types_pb.SigmaRange = getattr(spec, name)
    return (found.min, found.max) if spec.HasField(name) else None  # type: ignore[arg-type]


def read_marks(marks: Iterable[types_pb.PromptMark]) -> tuple[PromptMark, ...]:
    """Prompts and the chunks that they begin with."""
    return tuple(
        PromptMark(chunk=mark.chunk, prompt=mark.prompt, blend_chunks=mark.blend_chunks)
        for mark in marks
    )


def changes_of(marks: Iterable[types_pb.PromptMark]) -> tuple[Change, ...]:
    """Changes of prompt that a lease tells of."""
    return tuple(
        Change(
            prompt=mark.prompt,
            blend_chunks=mark.blend_chunks,
            chunk=mark.chunk,
            number=mark.number,
        )
        for mark in marks
    )


def mark_messages(marks: Iterable[PromptMark]) -> list[types_pb.PromptMark]:
    """The same as they travel."""
    return [
        types_pb.PromptMark(chunk=mark.chunk, prompt=mark.prompt, blend_chunks=mark.blend_chunks)
        for mark in marks
    ]
