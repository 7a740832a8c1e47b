"""One chunk of one or several clips, in lockstep: denoise together, decode one after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from node_agent.render.helios.clip import HeliosClip
from node_agent.render.helios.decode import decode
from node_agent.render.helios.guidance import Company
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.stages import denoise_flat, denoise_pyramid
from node_agent.render.memory import release_free_memory
from node_agent.render.renderer import RenderCancelled, RenderedChunk


@torch.inference_mode()
def render_chunks(
    model: HeliosModel, clips: Sequence[HeliosClip], cancelled: Callable[[HeliosClip], bool]
) -> list[RenderedChunk | None]:
    """The next chunk of each clip; None for those that were cancelled, whose state has not moved.

    All clips are of one `lane_group`. Noise is drawn for each by itself, so that a clip's picture
    does not depend on its neighbours; only the sums of a matrix product may, in the last bit.
    """
    if len({clip.lane_group for clip in clips}) != 1:
        raise ValueError("lanes of different groups cannot be rendered in lockstep")
    started = time.perf_counter()
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
    )
    chunks: list[RenderedChunk | None] = [None] * len(clips)
    try:
        latents = _denoise(model, clips[0], company)
        [latents] = company.left(latents)
    except RenderCancelled:
        return chunks
    share = (time.perf_counter() - started) / len(company.lanes)
    for row, lane in enumerate(company.lanes):
        began = time.perf_counter()
        clip, own = clips[lane], latents[row : row + 1]
        chunks[lane] = RenderedChunk(
            index=clip.next_chunk,
            frames=decode(model, own, clip.recipe.vae),
            negative=clip.negative_of(own.float().cpu(), noises[lane]),
            seconds=share + time.perf_counter() - began,
            lanes=len(company.lanes),
            profile=clip.profile.name,
        )
    for row, lane in enumerate(company.lanes):  # nothing has failed: now all states move
        clips[lane].move_on(latents[row : row + 1], noises[lane])
    release_free_memory()
    return chunks


def _denoise(model: HeliosModel, clip: HeliosClip, company: Company) -> Tensor:
    steps = clip.recipe.steps
    if not model.pyramid:
        return denoise_flat(model, company, clip.shape, steps[0])
    return denoise_pyramid(model, company, clip.shape, steps, amplify=clip.amplified)
