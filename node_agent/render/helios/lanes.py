"""One chunk of one or several clips, in lockstep: denoise together, decode one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from node_agent.render.helios.clip import HeliosClip
from node_agent.render.helios.decode import decoded
from node_agent.render.helios.guidance import Company
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.noise import ClipNoise
from node_agent.render.helios.stages import denoise_flat, denoise_pyramid
from node_agent.render.memory import release_free_memory
from node_agent.render.renderer import PendingChunk, RenderCancelled, RenderedChunk
from node_agent.render.work_clock import Worked


@torch.inference_mode()
def render_chunks(
    model: HeliosModel, clips: Sequence[HeliosClip], cancelled: Callable[[HeliosClip], bool]
) -> list[PendingChunk | None]:
    """The next chunk of each clip; None for those that were cancelled, whose state has not moved.

    All clips are of one `lane_group`. Noise is drawn for each by itself, so that a clip's picture
    does not depend on its neighbours; only the sums of a matrix product may, in the last bit. A GPU
    may still be at work on the last pass and the decodes when this returns.
    """
    if len({clip.lane_group for clip in clips}) != 1:
        raise ValueError("lanes of different groups cannot be rendered in lockstep")
    model.clock.begin()
    model.use(clips[0].profile, clips[0].spec.loras)
    guided = clips[0].recipe.guided
    noises = [clip.noise.fork() for clip in clips]
    company = Company(
        histories=[clip.history for clip in clips],
        prompts=[clip.prompt for clip in clips],
        negative_prompts=[clip.negative_prompt for clip in clips] if guided else None,
        transformer=model.transformer,  # after prompts, for whose encoder it may have to go
        noises=noises,
        guidance_scale=clips[0].recipe.guidance_scale,
        zero_star=model.info.variant == "mid",
        cancelled=lambda lane: cancelled(clips[lane]),
        clock=model.clock,
    )
    chunks: list[PendingChunk | None] = [None] * len(clips)
    try:
        latents = _denoise(model, clips[0], company)
        [latents] = company.left(latents)
    except RenderCancelled:
        return chunks
    rows = {lane: latents[row : row + 1] for row, lane in enumerate(company.lanes)}
    makers = {lane: _made(model, clips[lane], rows[lane], noises[lane]) for lane in rows}
    worked = model.clock.end()
    for lane, make in makers.items():  # nothing has failed: now all states move
        chunks[lane] = _pending(clips[lane].next_chunk, make, worked, len(rows))
        clips[lane].move_on(rows[lane], noises[lane])
    if model.device.type == "cpu":
        release_free_memory()
    return chunks


def _denoise(model: HeliosModel, clip: HeliosClip, company: Company) -> Tensor:
    steps = clip.recipe.steps
    if not model.pyramid:
        return denoise_flat(model, company, clip.shape, steps[0])
    return denoise_pyramid(model, company, clip.shape, steps, amplify=clip.amplified)


Maker = Callable[[Worked, int], RenderedChunk]
"""A chunk, once what it took is known, out of so many lanes."""


def _made(model: HeliosModel, clip: HeliosClip, latents: Tensor, noise: ClipNoise) -> Maker:
    """Decode `latents`, and let frames and negative come to the host."""
    index, negative = clip.next_chunk, clip.negative_of(noise)
    profile, vae = clip.profile.name, clip.recipe.vae
    kept = model.card.fetch(latents.float())
    with model.clock.working():
        frames = decoded(model, latents, vae)
    shown = model.card.fetch(frames)

    def make(worked: Worked, lanes: int) -> RenderedChunk:
        return RenderedChunk(
            index=index,
            frames=shown.wait().numpy(),
            negative=negative(kept.wait()),
            seconds=worked.seconds,
            lanes=lanes,
            profile=profile,
            vae=vae,
            busy_seconds=worked.busy,
            idle_seconds=worked.idle,
            passes=worked.passes,
            pass_seconds=worked.pass_seconds,
        )

    return make


def _pending(index: int, make: Maker, worked: Callable[[], Worked], lanes: int) -> PendingChunk:
    return PendingChunk(index, lambda: make(worked().share(lanes), lanes))
