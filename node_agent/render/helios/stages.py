"""The denoising passes of one chunk, from noise to latents.

Schedules stay on the host, their times and sigmas are brought to the device: so Distilled asks a
GPU for nothing that the host waits for. The solver of Base and Mid does, for its few coefficients.

Base denoises at full size. Distilled and Mid climb a pyramid: they start at a quarter of the
height and width, and double both between stages, adding block noise to what was enlarged
(pyramidal flow matching, arXiv 2410.05954).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch.nn.functional as F  # noqa: N812 - torch's own custom
from diffusers.pipelines.helios.pipeline_helios import calculate_shift
from torch import Tensor

from node_agent.render.helios.guidance import Company
from node_agent.render.helios.history import LatentShape
from node_agent.render.helios.model import HeliosModel

ZERO_STAR_STEPS = 2
"""Steps of the coarsest stage which CFG-Zero* starts without any velocity (stock: zero_steps=1)."""


def denoise_flat(model: HeliosModel, company: Company, shape: LatentShape, steps: int) -> Tensor:
    """Base: `steps` passes at full size. Returns latents (lanes left, …) of `shape`."""
    latents = model.card.bring(company.draw(lambda noise: noise.gaussian(shape)))
    schedule = model.schedule
    schedule.set_timesteps(
        steps, sigmas=np.linspace(0.999, 0.0, steps + 1)[:-1], mu=_shift(model, latents)
    )
    times = model.card.bring(schedule.timesteps)
    for step, time in enumerate(schedule.timesteps):
        [latents] = _left(schedule, company, latents)
        flow = company.velocity(latents, times[step])
        latents = schedule.step(flow, time, latents, return_dict=False)[0]
    return latents


def denoise_pyramid(
    model: HeliosModel,
    company: Company,
    shape: LatentShape,
    steps: tuple[int, ...],
    *,
    amplify: bool,
) -> Tensor:
    """Distilled and Mid: `steps` passes per stage, twice as many to `amplify`.

    Returns latents (lanes left, …) of `shape`. All sizes that the stages pass through divide
    evenly (`recipe_for`).
    """
    latents = model.card.bring(company.draw(lambda noise: noise.gaussian(shape)))
    for _ in steps[1:]:
        # Averaging 2x2 normal numbers halves their spread; twice the mean is standard normal.
        latents = _resized(latents, 0.5, "bilinear") * 2
    for stage, count in enumerate(steps):
        model.schedule.set_timesteps(
            count,
            stage,
            mu=_shift(model, latents),
            is_amplify_first_chunk=amplify,
        )
        if stage > 0:
            latents = _enlarged(model, company, latents, stage)
        latents = _denoise_stage(model, company, latents, stage)
    return latents


def _denoise_stage(model: HeliosModel, company: Company, start: Tensor, stage: int) -> Tensor:
    schedule, latents = model.schedule, start
    times, sigmas = model.card.bring(schedule.timesteps), model.card.bring(schedule.sigmas)
    for step, time in enumerate(schedule.timesteps):
        latents, start = _left(schedule, company, latents, start)
        first_steps = stage == 0 and step < ZERO_STAR_STEPS
        flow = company.velocity(latents, times[step].long(), first_steps=first_steps)
        extra = {}
        if model.distilled:
            extra = _distilled_arguments(schedule, step, start, times, sigmas)
        latents = schedule.step(flow, time, latents, return_dict=False, **extra)[0]
    return latents


def _left(schedule: Any, company: Company, *tensors: Tensor) -> list[Tensor]:
    """The rows of lanes that go on; a schedule of several steps remembers those only, too."""
    before = company.lanes
    left = company.left(*tensors)
    if company.lanes != before and hasattr(schedule, "model_outputs"):
        rows = [before.index(lane) for lane in company.lanes]
        kept = [each if each is None else each[rows] for each in schedule.model_outputs]
        schedule.model_outputs = kept
        if schedule.last_sample is not None:
            schedule.last_sample = schedule.last_sample[rows]
    return left


def _distilled_arguments(
    schedule: Any, step: int, start: Tensor, times: Tensor, sigmas: Tensor
) -> dict[str, Any]:
    """HeliosDMDScheduler predicts the clean latents and re-noises them with the stage's start.

    It looks up a single time among those of `all_timesteps`, on the host, and computes with
    `times` and `sigmas`, the same on the device.
    """
    return {
        "cur_sampling_step": step,
        "dmd_noisy_tensor": start,
        "dmd_sigmas": sigmas,
        "dmd_timesteps": times,
        "all_timesteps": schedule.timesteps,
    }


def _enlarged(model: HeliosModel, company: Company, latents: Tensor, stage: int) -> Tensor:
    """Double height and width, and bring the noise back to what `stage` starts from.

    alpha and beta: renoising between stages, pyramidal flow matching (arXiv 2410.05954).
    """
    latents = _resized(latents, 2, "nearest")
    gamma = model.schedule.config.gamma
    signal = 1 - model.schedule.ori_start_sigmas[stage]
    alpha: float = 1 / (math.sqrt(1 + (1 / gamma)) * (1 - signal) + signal)
    beta = alpha * (1 - signal) / math.sqrt(gamma)
    _, rows, columns = model.transformer.config.patch_size
    shape = (1, *latents.shape[1:])
    blocks = company.draw(lambda noise: noise.blocks(shape, (rows, columns), gamma))
    renoised: Tensor = alpha * latents + beta * model.card.bring(blocks.to(model.transformer.dtype))
    return renoised


def _resized(latents: Tensor, scale: float, mode: str) -> Tensor:
    """Every latent frame resized on its own."""
    batch, channels, frames, height, width = latents.shape
    pictures = latents.permute(0, 2, 1, 3, 4).reshape(batch * frames, channels, height, width)
    size = (int(height * scale), int(width * scale))
    pictures = F.interpolate(pictures, size=size, mode=mode)
    return pictures.reshape(batch, frames, channels, *size).permute(0, 2, 1, 3, 4)


def _shift(model: HeliosModel, latents: Tensor) -> float:
    """How far the schedule leans towards noise: more for more tokens.

    Counted before a stage enlarges its latents, as the stock pipeline does.
    """
    tokens = math.prod(latents.shape[2:]) // math.prod(model.transformer.config.patch_size)
    names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
    defaults = (256, 4096, 0.5, 1.15)
    config = model.schedule.config
    shift: float = calculate_shift(
        tokens, *(config.get(name, value) for name, value in zip(names, defaults, strict=True))
    )
    return shift
