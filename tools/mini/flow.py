"""Flow matching as Helios learns it: from noise to a chunk, straight or by way of the pyramid."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import UMT5EncoderModel

from .learner import Learner, numbers
from .lessons import lesson
from .plan import Plan
from .pupil import Pupil
from .pyramid import build_schedule, line, shifted, time_of, towards_noise
from .shards import Shards
from .text import encode_captions

STAGE = 3
"""Of the random numbers."""
STAGE_SHARES = (0.25, 0.35, 0.4)
"""How often each stage of the pyramid is learned, the coarsest first."""


def teach(
    pupil: Pupil,
    encoder: UMT5EncoderModel,
    tokenizer: Any,
    shards: Shards,
    learner: Learner,
    plan: Plan,
) -> float:
    """One step; the loss that it began from."""
    rng, generator = numbers(plan.seed, STAGE, learner.step)
    known = shards.upto(plan.first_shards + learner.step // plan.shard_every)
    taught = lesson(known, plan.batch, rng, generator)
    words = encode_captions(encoder, tokenizer, taught.captions)
    point = _straight if plan.stages == 1 else _in_pyramid
    latents, time, velocity = point(taught.targets, plan, rng, generator)
    found = pupil(latents, time, words, taught.memory)
    return learner.learn((found - velocity).square().mean())


Point = tuple[Tensor, Tensor, Tensor]
"""Latents, the time that the transformer is told, and the velocity there."""


def _straight(
    targets: Tensor, plan: Plan, _rng: np.random.Generator, generator: torch.Generator
) -> Point:
    """x = (1 - sigma) x0 + sigma noise, and the velocity is noise - x0 (arXiv 2210.02747)."""
    noise = torch.randn(targets.shape, generator=generator)
    sigma = shifted(_spread(plan, generator), stage=0, stages=1, size=plan.size)
    share = sigma.view(-1, 1, 1, 1, 1)
    return (1 - share) * targets + share * noise, 1000 * sigma, noise - targets


def _in_pyramid(
    targets: Tensor, plan: Plan, rng: np.random.Generator, generator: torch.Generator
) -> Point:
    """A point on the line of one stage."""
    schedule = build_schedule()
    stage = int(rng.choice(plan.stages, p=STAGE_SHARES))
    along = line(schedule, stage, targets)
    noise = torch.randn(along.clean.shape, generator=generator)
    sigma = shifted(_spread(plan, generator), stage, plan.stages, plan.size)
    latents = along.at(sigma.view(-1, 1, 1, 1, 1), noise)
    return latents, time_of(schedule, stage, sigma), along.velocity(noise)


def _spread(plan: Plan, generator: torch.Generator) -> Tensor:
    """A number of 0 to 1 for each clip of a batch: evenly spread over them, then shifted."""
    even = (torch.arange(plan.batch) + torch.rand(plan.batch, generator=generator)) / plan.batch
    return towards_noise(even, plan.noisier)
